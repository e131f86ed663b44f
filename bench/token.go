package main

const (
	devicePath  = "/3/device/"
	tokenLength = 64 // of an APNs token in hex
)

const hexDigits = "0123456789abcdef"

// putToken writes the n-th token into b, which has tokenLength bytes: no two are the same, and none looks like its neighbour.
func putToken(b []byte, n uint64) {
	for word := range tokenLength / 16 {
		digits := b[word*16:]
		for i, x := 0, scatter(n+uint64(word)<<60); i < 16; i, x = i+1, x>>4 {
			digits[i] = hexDigits[x&15]
		}
	}
}

// scatter is the finalizer of splitmix64: a bijection, so that what differs stays different.
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// apnsToken is the n-th token as text.
func apnsToken(n uint64) string {
	var b [tokenLength]byte
	putToken(b[:], n)
	return string(b[:])
}

// deadMark is what dead tokens begin with, and others do not.
const deadMark = "deaddead"

// deadToken is the n-th token as text, if it is dead.
func deadToken(n uint64) string { return deadMark + apnsToken(n)[len(deadMark):] }

// fcmToken is the n-th registration token, as long as Google's.
func fcmToken(n uint64) string {
	return apnsToken(n)[:22] + ":APA91b" + apnsToken(n+1<<59) + apnsToken(n+1<<58)
}
