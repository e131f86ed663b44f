package providers

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const canary = "canary-3f9a"

func TestSecretShowsNothingHoweverItIsPrinted(t *testing.T) {
	t.Parallel()
	secret := NewSecret(canary)
	holder := struct {
		Open   Secret[string]
		hidden Secret[string]
		Bytes  Secret[[]byte]
		Chain  Secret[*tls.Certificate]
	}{secret, secret, NewSecret([]byte(canary)), NewSecret(&tls.Certificate{OCSPStaple: []byte(canary)})}

	var out strings.Builder
	for _, value := range []any{secret, &secret, holder, &holder, []any{secret}, map[string]any{"k": holder}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%08.3f", "%c"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		yamlText, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(yamlText)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", value)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is shown as %q in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Errorf("nothing says %s", redacted)
	}
	if secret.Reveal() != canary || !bytes.Equal(holder.Bytes.Reveal(), []byte(canary)) {
		t.Error("Reveal does not give the value")
	}
	if (Secret[int]{}).Reveal() != 0 {
		t.Error("the zero Secret does not hold the zero value")
	}
}

// What can hold a key stands behind a Secret wherever a tenant's tree has it, so that a new field cannot show one.
func TestNothingOfATenantHoldsAKeyInTheOpen(t *testing.T) {
	t.Parallel()
	open := []reflect.Type{reflect.TypeFor[[]byte](), reflect.TypeFor[tls.Certificate](), reflect.TypeFor[ecdsa.PrivateKey](), reflect.TypeFor[rsa.PrivateKey]()}
	signer := reflect.TypeFor[crypto.Signer]()
	hidden := 0
	var walk func(path string, shape reflect.Type)
	walk = func(path string, shape reflect.Type) {
		switch {
		case strings.HasPrefix(shape.String(), "providers.Secret["):
			hidden++
		case slices.Contains(open, shape) || shape.Implements(signer):
			t.Errorf("%s is a %v: put it behind a Secret", path, shape)
		case shape.Kind() == reflect.Pointer || shape.Kind() == reflect.Slice:
			walk(path, shape.Elem())
		case shape.Kind() == reflect.Interface:
			t.Errorf("%s is an interface, which can hold a key", path)
		case shape.Kind() == reflect.Struct && strings.HasPrefix(shape.PkgPath(), "pushd/"):
			for field := range shape.Fields() {
				walk(path+"."+field.Name, field.Type)
			}
		}
	}
	walk("Tenant", reflect.TypeFor[Tenant]())
	if hidden != 3 {
		t.Errorf("%d secrets were found; a certificate, a key and an account are there", hidden)
	}
}
