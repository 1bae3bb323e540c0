package courier_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// channelKeys are the keys of the channel objects on the reference page.
var channelKeys = []objectKeys{
	{"airship", courier.Airship{}, []keyOf{
		{"audience", "Audience", courier.Set(courier.AirshipAudience{NamedUser: courier.Set("n")}), `{"named_user":"n"}`},
		{"device_types", "DeviceTypes", courier.Set([]string{"ios", "android"}), `["ios","android"]`},
	}},
	{"airship.audience", courier.AirshipAudience{}, []keyOf{
		{"named_user", "NamedUser", courier.Set("n"), `"n"`},
	}},
	{"discord", courier.Discord{}, []keyOf{
		{"channel_id", "ChannelID", courier.Set("c"), `"c"`},
		{"user_id", "UserID", courier.Set("u"), `"u"`},
	}},
	{"expo", courier.Expo{}, []keyOf{
		{"token", "Token", courier.Set("t"), `"t"`},
		{"tokens", "Tokens", courier.Set(courier.TokenList("a", "b")), `["a","b"]`},
	}},
	{"intercom", courier.Intercom{}, []keyOf{
		{"from", "From", courier.Set("f"), `"f"`},
		{"to", "To", courier.Set(courier.IntercomRecipient{ID: courier.Set("i")}), `{"id":"i"}`},
	}},
	{"intercom.to", courier.IntercomRecipient{}, []keyOf{
		{"id", "ID", courier.Set("i"), `"i"`},
	}},
	{"ms_teams", courier.MSTeams{}, []keyOf{
		{"tenant_id", "TenantID", courier.Set("1"), `"1"`},
		{"service_url", "ServiceURL", courier.Set("2"), `"2"`},
		{"user_id", "UserID", courier.Set("3"), `"3"`},
		{"email", "Email", courier.Set("4"), `"4"`},
		{"channel_id", "ChannelID", courier.Set("5"), `"5"`},
		{"conversation_id", "ConversationID", courier.Set("6"), `"6"`},
		{"channel_name", "ChannelName", courier.Set("7"), `"7"`},
		{"team_id", "TeamID", courier.Set("8"), `"8"`},
	}},
	{"slack", courier.Slack{}, []keyOf{
		{"access_token", "AccessToken", courier.Set("1"), `"1"`},
		{"channel", "Channel", courier.Set("2"), `"2"`},
		{"email", "Email", courier.Set("3"), `"3"`},
		{"user_id", "UserID", courier.Set("4"), `"4"`},
		{"incoming_webhook", "IncomingWebhook", courier.Set(courier.SlackIncomingWebhook{URL: courier.Set("u")}), `{"url":"u"}`},
	}},
	{"slack.incoming_webhook", courier.SlackIncomingWebhook{}, []keyOf{
		{"url", "URL", courier.Set("u"), `"u"`},
	}},
	{"webhook", courier.Webhook{}, []keyOf{
		{"url", "URL", courier.Set("u"), `"u"`},
		{"method", "Method", courier.Set("POST"), `"POST"`},
		{"headers", "Headers", courier.Set(map[string]string{"X-A": "1", "x-a": "<2>"}), `{"X-A":"1","x-a":"<2>"}`},
		{"authentication", "Authentication", courier.Set(courier.WebhookAuthentication{Mode: courier.Set("none")}), `{"mode":"none"}`},
		{"profile", "Profile", courier.Set("expanded"), `"expanded"`},
	}},
	{"webhook.authentication", courier.WebhookAuthentication{}, []keyOf{
		{"mode", "Mode", courier.Set("basic"), `"basic"`},
		{"username", "Username", courier.Set("u"), `"u"`},
		{"password", "Password", courier.Set("p"), `"p"`},
		{"token", "Token", courier.Set("t"), `"t"`},
	}},
}

// TestTokens holds that tokens keep the form they were made or read in, and
// that what is none of the forms is left to Extra.
func TestTokens(t *testing.T) {
	tests := []struct {
		text string
		all  []string // nil if it does not fit
	}{
		{`"a"`, []string{"a"}},
		{`""`, []string{""}},
		{`"\u0061\n"`, []string{"a\n"}},
		{`[]`, []string{}},
		{`["a"]`, []string{"a"}},
		{`["a","b","a",""]`, []string{"a", "b", "a", ""}},
		{`[{"token":"a"}]`, []string{"a"}},
		{` [ {"token" : "a"} , {"token":""} ] `, []string{"a", ""}},
		{`[{"token":1,"token":"b"}]`, []string{"b"}},

		{`1`, nil},
		{`true`, nil},
		{`{}`, nil},
		{`{"token":"a"}`, nil},
		{`"\ud800"`, nil},
		{`["a","\ud800"]`, nil},
		{`[null]`, nil},
		{`["a",null]`, nil},
		{`["a",1]`, nil},
		{`[["a"]]`, nil},
		{`["a",["b"]]`, nil},
		{`["a",{"token":"b"}]`, nil},
		{`[{"token":"a"},"b"]`, nil},
		{`[{}]`, nil},
		{`[{"token":null}]`, nil},
		{`[{"token":1}]`, nil},
		{`[{"token":"a","token":1}]`, nil},
		{`[{"token":"\udc00"}]`, nil},
		{`[{"token":"a","\ud800":1}]`, nil},
		{`[{"Token":"a"}]`, nil},
		{`[{"token":"a","device":"ios"}]`, nil},
		{`[{"token":"a"},{"token":"b","added":1.0}]`, nil},
		{`[{"token":["a"]}]`, nil},
	}
	for _, test := range tests {
		var tokens courier.Tokens
		err := json.Unmarshal([]byte(test.text), &tokens)
		if (err == nil) != (test.all != nil) {
			t.Errorf("%s: error %v", test.text, err)
		} else if all := tokens.All(); err == nil && !slices.Equal(all, test.all) {
			t.Errorf("%s: tokens %q, want %q", test.text, all, test.all)
		} else if err == nil {
			out, err := json.Marshal(tokens)
			if err != nil || !reflect.DeepEqual(exactly(string(out)), exactly(test.text)) {
				t.Errorf("%s: written as %s: %v", test.text, out, err)
			}
		}
		// The same in their two places.
		document := `{"firebaseToken":` + test.text + `,"expo":{"tokens":` + test.text + `}}`
		p := readProfile(t, document)
		checkRoundTrip(t, document)
		inExpo, _ := p.Expo.Get()
		for place, field := range map[string]courier.Field[courier.Tokens]{"firebaseToken": p.FirebaseToken, "expo.tokens": inExpo.Tokens} {
			tokens, ok := field.Get()
			if ok != (test.all != nil) || !slices.Equal(tokens.All(), test.all) {
				t.Errorf("%s %s: %q, %t", place, test.text, tokens.All(), ok)
			}
		}
		for place, extra := range map[string]map[string]any{"firebaseToken": p.Extra, "tokens": inExpo.Extra} {
			if _, kept := extra[place]; kept != (test.all == nil) {
				t.Errorf("%s: in Extra as %s: %t", test.text, place, kept)
			}
		}
	}

	made := []struct {
		tokens courier.Tokens
		want   string
	}{
		{courier.Tokens{}, `[]`},
		{courier.Token("a"), `"a"`},
		{courier.Token(""), `""`},
		{courier.TokenList(), `[]`},
		{courier.TokenList("a"), `["a"]`},
		{courier.TokenList("<", "&"), `["<","&"]`},
	}
	for _, test := range made {
		text, err := test.tokens.MarshalJSON()
		if err != nil || string(text) != test.want {
			t.Errorf("%q: written as %s (%v), want %s", test.tokens.All(), text, err, test.want)
		}
		var again courier.Tokens
		if err := json.Unmarshal(text, &again); err != nil || !slices.Equal(again.All(), test.tokens.All()) {
			t.Errorf("%s: read as %q: %v", text, again.All(), err)
		}
	}
}

func TestTokensShareNothing(t *testing.T) {
	list := []string{"a", "b"}
	tokens := courier.TokenList(list...)
	list[0] = "changed"
	all := tokens.All()
	all[1] = "changed"
	if got := tokens.All(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the tokens changed to %q", got)
	}
}

// TestChannelObjectsOfTheReference writes the examples that the reference page
// describes, in Go, and compares with what it says their JSON is.
func TestChannelObjectsOfTheReference(t *testing.T) {
	tests := []struct {
		profile courier.Profile
		want    string
	}{
		{courier.Profile{Airship: courier.Set(courier.Airship{
			Audience:    courier.Set(courier.AirshipAudience{NamedUser: courier.Set("n")}),
			DeviceTypes: courier.Set([]string{"ios"}),
		})}, `{"airship":{"audience":{"named_user":"n"},"device_types":["ios"]}}`},
		{courier.Profile{Expo: courier.Set(courier.Expo{Token: courier.Set("t")})}, `{"expo":{"token":"t"}}`},
		{courier.Profile{Expo: courier.Set(courier.Expo{Tokens: courier.Set(courier.TokenList("a", "b"))})}, `{"expo":{"tokens":["a","b"]}}`},
		{courier.Profile{FirebaseToken: courier.Set(courier.Token("a"))}, `{"firebaseToken":"a"}`},
		{courier.Profile{FirebaseToken: courier.Set(courier.TokenList("a", "b"))}, `{"firebaseToken":["a","b"]}`},
		{courier.Profile{Discord: courier.Set(courier.Discord{ChannelID: courier.Set("c")})}, `{"discord":{"channel_id":"c"}}`},
		{courier.Profile{Intercom: courier.Set(courier.Intercom{From: courier.Set("f"), To: courier.Set(courier.IntercomRecipient{ID: courier.Set("i")})})},
			`{"intercom":{"from":"f","to":{"id":"i"}}}`},
		{courier.Profile{Slack: courier.Set(courier.Slack{AccessToken: courier.Set("x"), Email: courier.Set("e")})}, `{"slack":{"access_token":"x","email":"e"}}`},
		{courier.Profile{Slack: courier.Set(courier.Slack{IncomingWebhook: courier.Set(courier.SlackIncomingWebhook{URL: courier.Set("u")})})},
			`{"slack":{"incoming_webhook":{"url":"u"}}}`},
		{courier.Profile{MSTeams: courier.Set(courier.MSTeams{TenantID: courier.Set("t"), ServiceURL: courier.Set("s"), ChannelName: courier.Set("n"), TeamID: courier.Set("m")})},
			`{"ms_teams":{"tenant_id":"t","service_url":"s","channel_name":"n","team_id":"m"}}`},
		{courier.Profile{Webhook: courier.Set(courier.Webhook{
			URL: courier.Set("https://example.com/?a=1&b=<2>"), Method: courier.Set("POST"), Headers: courier.Set(map[string]string{"X-A": "1"}),
			Authentication: courier.Set(courier.WebhookAuthentication{Mode: courier.Set("bearer"), Token: courier.Set("t")}), Profile: courier.Set("limited"),
		})}, `{"webhook":{"url":"https://example.com/?a=1&b=<2>","method":"POST","headers":{"X-A":"1"},"authentication":{"mode":"bearer","token":"t"},"profile":"limited"}}`},
		{courier.Profile{APN: courier.Set("a"), TargetARN: courier.Set("t"), FacebookPSID: courier.Set("f"), OneSignalPlayerID: courier.Set("o")},
			`{"apn":"a","facebookPSID":"f","oneSignalPlayerID":"o","target_arn":"t"}`},
		// null removes one member of a channel object.
		{courier.Profile{Slack: courier.Set(courier.Slack{Channel: courier.Null[string](), Extra: map[string]any{"more": nil}})}, `{"slack":{"channel":null,"more":null}}`},
		{courier.Profile{Slack: courier.Null[courier.Slack]()}, `{"slack":null}`},
		{courier.Profile{Slack: courier.Set(courier.Slack{})}, `{"slack":{}}`},
	}
	for _, test := range tests {
		if got := test.profile.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		checkRoundTrip(t, test.want)
	}
}
