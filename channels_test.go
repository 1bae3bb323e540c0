package courier_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// TestTokens: device tokens keep the form in which they were read: a string, or an array of
// strings.
func TestTokens(t *testing.T) {
	t.Parallel()
	type holder struct {
		T courier.Tokens
		P *courier.Tokens
	}
	for text, all := range map[string][]string{
		`"a"`:              {"a"},
		`""`:               {""},
		`"\u0061\n"`:       {"a\n"},
		`[]`:               {},
		`["a"]`:            {"a"},
		`["a","b","a",""]`: {"a", "b", "a", ""},
	} {
		inStruct := `{"T":` + text + `,"P":` + text + `}`
		for _, reader := range jsonVersions {
			tokens := courier.Token("before")
			if err := reader.unmarshal([]byte(text), &tokens); err != nil {
				t.Errorf("%s: %s: %v", reader.name, text, err)
			}
			if !slices.Equal(tokens.All(), all) {
				t.Errorf("%s: %s is read as %q", reader.name, text, tokens.All())
			}
			var held holder
			if err := reader.unmarshal([]byte(inStruct), &held); err != nil {
				t.Errorf("%s, in a struct: %s: %v", reader.name, text, err)
			}
			for _, writer := range jsonVersions {
				wantWritten(t, writer.name, writer.marshal, tokens, text)
				wantWritten(t, writer.name, writer.marshal, &tokens, text)
				wantWritten(t, writer.name, writer.marshal, held, inStruct)
				wantWritten(t, writer.name, writer.marshal, &held, inStruct)
			}
		}
	}
}

// TestTokensRefuse: what is neither a string nor an array of strings is a mismatch of the
// field, such as the objects of older Expo profiles.
func TestTokensRefuse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`1`, `{}`, `{"token":"a"}`, `"\ud800"`, `["a","\ud800"]`, `[null]`, `["a",null]`,
		`["a",1]`, `["a",["b"]]`, `["a",{"token":"b"}]`, `[{"token":"a"}]`,
		`[{"token":"a"},{"token":"b"}]`, `[{"token":"a"},null]`, `[{}]`,
	} {
		for _, version := range jsonVersions {
			var tokens courier.Tokens
			if err := version.unmarshal([]byte(text), &tokens); err == nil {
				t.Errorf("%s: %s is read as %q", version.name, text, tokens.All())
			}
		}
		p := readProfile(t, `{"firebaseToken":`+text+`,"expo":{"tokens":`+text+`},
			"apn":{"tokens":`+text+`}}`)
		expo, _ := p.Expo.Get()
		apn, _ := p.APN.Get()
		for name, field := range map[string]courier.Field[courier.Tokens]{
			"firebaseToken": p.FirebaseToken, "expo": expo.Tokens, "apn": apn.Tokens,
		} {
			if got := string(field.Mismatch()); got != text {
				t.Errorf("%s: got the mismatch %s, want %s", name, got, text)
			}
		}
	}
}

func TestTokenAndTokenList(t *testing.T) {
	t.Parallel()
	list := []string{"<", "&"}
	for _, test := range []struct {
		tokens courier.Tokens
		want   string
	}{
		{courier.Tokens{}, `[]`},
		{courier.Token("a"), `"a"`},
		{courier.Token(""), `""`},
		{courier.TokenList(), `[]`},
		{courier.TokenList("a"), `["a"]`},
		{courier.TokenList(list...), `["<","&"]`},
	} {
		list[0] = "changed" // Tokens have a copy
		for _, token := range test.tokens.All() {
			test.tokens.All()[0] = token + " changed"
		}
		text, err := test.tokens.MarshalJSON()
		if err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		if string(text) != test.want {
			t.Errorf("got %s, want %s", text, test.want)
		}
	}
}

// TestSecretsAreRedacted: what holds credentials or device tokens prints redacted, alone and in
// a Field, also if it was read and does not fit.
func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	secret := courier.Set("SECRET")
	hook := courier.SlackIncomingWebhook{URL: secret}
	login := courier.WebhookAuthentication{Password: secret}
	webhook := courier.Webhook{Authentication: courier.Set(login)}
	wantPrintedRedacted(t, courier.Token("SECRET"))
	wantPrintedRedacted(t, courier.TokenList("SECRET"))
	wantPrintedRedacted(t, courier.APN{Token: secret})
	wantPrintedRedacted(t, courier.Expo{Token: secret})
	wantPrintedRedacted(t, courier.PagerDuty{RoutingKey: secret})
	wantPrintedRedacted(t, courier.Slack{AccessToken: secret})
	wantPrintedRedacted(t, hook)
	wantPrintedRedacted(t, webhook)
	wantPrintedRedacted(t, login)
	wantPrintedRedacted(t, courier.Profile{Slack: courier.Set(courier.Slack{AccessToken: secret})})
}

func wantPrintedRedacted[T any](t *testing.T, value T) {
	t.Helper()
	for _, printed := range []any{
		value, &value, []any{value}, struct{ V T }{value},
		courier.Set(value), struct{ F courier.Field[T] }{courier.Set(value)},
		readField[T](t, `[[1,"SECRET"]]`),
	} {
		for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
			got := fmt.Sprintf(verb, printed)
			if !strings.Contains(got, "[redacted]") || strings.Contains(got, "SECRET") {
				t.Errorf("%s of a %T: got %s", verb, printed, got)
			}
		}
	}
}
