package plot

import (
	"math"
	"strconv"
	"strings"
)

// linear is the scale that has low at from, and high at to.
func linear(low, high, from, to float64) func(float64) float64 {
	return func(v float64) float64 { return from + (v-low)/(high-low)*(to-from) }
}

// upright is the scale and the ticks of the values: from 0 to a round number that none of them is above, or whole decades.
func (p *Plot) upright(from, to float64) (scale func(float64) float64, ticks []float64) {
	least, most := math.Inf(1), 0.0
	for _, l := range p.Lines {
		for _, value := range l.Y {
			if p.shows(value) {
				least, most = min(least, value), max(most, value)
			}
		}
	}
	if most <= 0 {
		least, most = 1, 1
	}
	if !p.Log {
		step := roundStep(most / 5)
		high := step * math.Ceil(most/step)
		return linear(0, high, from, to), round(0, high, 5)
	}
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	if low == high {
		high++
	}
	within := []float64{1}
	if high-low <= 2 { // decades alone would be too few
		within = []float64{1, 2, 5}
	}
	for decade := low; decade <= high; decade++ {
		for _, part := range within {
			if v := part * math.Pow(10, decade); v <= math.Pow(10, high) {
				ticks = append(ticks, v)
			}
		}
	}
	logarithmic := linear(low, high, from, to)
	return func(v float64) float64 { return logarithmic(math.Log10(v)) }, ticks
}

// round are the round numbers from low to high, about as many as wanted.
func round(low, high, about float64) []float64 {
	step := roundStep((high - low) / about)
	var all []float64
	for n := math.Ceil(low / step); n*step <= high*(1+1e-9); n++ {
		all = append(all, n*step)
	}
	return all
}

// roundStep is the least of 1, 2 and 5 times a power of ten that is not below.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= least*(1-1e-9) {
			return times * power
		}
	}
	return 10 * power
}

// number writes a value for people: three digits at least, and thousands set apart.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 1000:
		text := strconv.FormatFloat(math.Round(v), 'f', -1, 64)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		text := strconv.FormatFloat(v, 'f', 3, 64)
		return strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
}
