package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"pushd/providers/spelling"
)

// mappers read the text of a value, wherever it comes from. They are kong's, but for errors that say how to mend the
// value, numbers that must be finite, and strings that must not be a secret.
func mappers() []kong.Option { return mappersBy(func(m kong.Mapper) kong.Mapper { return m }) }

// lenientMappers are those of the command line, where a setting that cannot be read must not keep the other faults from
// being told: it is noted, and has its default meanwhile.
func lenientMappers(note func(fault)) []kong.Option {
	known := newCatalogue()
	return append(mappersBy(func(m kong.Mapper) kong.Mapper { return lenient{m, known, note} }),
		kong.KindMapper(reflect.Bool, lenientBool{lenient{kong.NewRegistry().RegisterDefaults().ForType(reflect.TypeFor[bool]()), known, note}}))
}

func mappersBy(wrap func(kong.Mapper) kong.Mapper) []kong.Option {
	return []kong.Option{
		kong.TypeMapper(reflect.TypeFor[time.Duration](), wrap(text(setDuration))),
		kong.KindMapper(reflect.Int, wrap(text(setInt))),
		kong.KindMapper(reflect.Int32, wrap(text(setInt))),
		kong.KindMapper(reflect.Int64, wrap(text(setInt))),
		kong.KindMapper(reflect.Float64, wrap(text(setFloat))),
		kong.KindMapper(reflect.String, wrap(text(setString))),
		kong.NamedMapper("path", wrap(text(setString))), // kong's own makes an empty path the working directory
	}
}

type lenient struct {
	kong.Mapper
	known *catalogue
	note  func(fault)
}

func (m lenient) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	err := m.Mapper.Decode(ctx, target)
	if key := ctx.Value.Name; err != nil && m.known.byKey[key] != nil {
		m.note(fault{where: commandLine, key: key, what: inOurWords(err).Error()})
		standIn := &kong.DecodeContext{Value: ctx.Value, Scan: kong.Scan().PushTyped(ctx.Value.Default, kong.FlagValueToken)}
		_ = m.Mapper.Decode(standIn, target) // a list's default is not its elements': they stay empty
		return nil
	}
	return err
}

// lenientBool is lenient for what needs no value on the command line.
type lenientBool struct{ lenient }

func (lenientBool) IsBool() bool { return true }

// text makes a mapper of a function that takes the value as it was written.
func text(set func(target reflect.Value, text string) error) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var written string
		if err := ctx.Scan.PopValueInto("value", &written); err != nil {
			return err
		}
		if err := set(target, written); err != nil {
			return err
		}
		return allowed(ctx.Value, target)
	}
}

func setDuration(target reflect.Value, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number with its unit, such as 500ms, 30s, 5m or 24h", text)
	}
	target.SetInt(int64(d))
	return nil
}

func setInt(target reflect.Value, text string) error {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, target.Type().Bits())
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is too large a number", text)
	case err != nil:
		return fmt.Errorf("%q is not a whole number; write it in digits, such as 1000 or 1_000", text)
	}
	target.SetInt(n)
	return nil
}

func setFloat(target reflect.Value, text string) error {
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%q is not a number; write it in digits, such as 1000 or 0.5", text)
	}
	target.SetFloat(f)
	return nil
}

// setString refuses key material: it would be in the process list, in backups and in the output of "pushd config show".
// The error does not repeat it.
func setString(target reflect.Value, text string) error {
	if strings.Contains(text, "-----BEGIN") {
		return errors.New("this is a key or certificate itself; put it into a file of mode 0600 and write the file's name here")
	}
	target.SetString(text)
	return nil
}

// allowed checks a value against the setting's enum, if it has one.
func allowed(setting *kong.Value, value reflect.Value) error {
	if setting.Enum == "" {
		return nil
	}
	choices := setting.EnumSlice()
	if written := fmt.Sprint(value.Interface()); !slices.Contains(choices, written) {
		return fmt.Errorf("%q is not one of %s%s", written, strings.Join(choices, ", "), spelling.DidYouMean(written, choices))
	}
	return nil
}

// written is a plain value as the configuration file would say it.
func written(value reflect.Value) string {
	switch v := value.Interface().(type) {
	case time.Duration:
		return shortDuration(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration writes 168h where time.Duration writes 168h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
