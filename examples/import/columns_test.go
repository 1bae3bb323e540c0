package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// TestKnownMembers holds the table of members against the types of the client: a
// value of each member's kind has to fit its field.
func TestKnownMembers(t *testing.T) {
	top := 0
	for path, holds := range known {
		value := map[kind]any{kindText: "x", kindBool: true, kindObject: map[string]any{}, kindList: []any{"x"}}[holds]
		members := map[string]any{}
		put(members, strings.Split(path, "."), value)
		written, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		var profile courier.Profile
		if err := json.Unmarshal(written, &profile); err != nil {
			t.Fatal(err)
		}
		if name := inExtra(reflect.ValueOf(profile)); name != "" {
			t.Errorf("%s: the client has no field for %s", path, name)
		}
		if !strings.Contains(path, ".") {
			top++
		}
	}
	if fields := reflect.TypeFor[courier.Profile]().NumField() - 1; top != fields {
		t.Errorf("%d members of the profile are known, the client has %d", top, fields)
	}
}

// inExtra returns the key of a member that is in Extra, at any depth.
func inExtra(v reflect.Value) string {
	for i := range v.NumField() {
		field := v.Field(i)
		if v.Type().Field(i).Name == "Extra" {
			for _, key := range field.MapKeys() {
				return key.String()
			}
			continue
		}
		get := field.MethodByName("Get")
		if !get.IsValid() {
			continue
		}
		value := get.Call(nil)[0]
		if value.Kind() == reflect.Struct && value.NumField() > 0 && value.FieldByName("Extra").IsValid() {
			if key := inExtra(value); key != "" {
				return key
			}
		}
	}
	return ""
}

func TestColumns(t *testing.T) {
	for _, test := range []struct{ name, header, row, want string }{
		{"objects", "id,address.country,Address.Locality,custom.plan,custom.a.b", "u,FR,Lyon,pro,x",
			`{"address":{"country":"FR","locality":"Lyon"},"custom":{"a":{"b":"x"},"plan":"pro"}}`},
		{"names of your own", "id,first_name,courier.channel,Custom.Plan,My Field,my.own.path", "u,Ada,email,pro,x,y",
			`{"My Field":"x","courier":{"channel":"email"},"custom":{"Plan":"pro"},"first_name":"Ada","my":{"own":{"path":"y"}}}`},
		{"channels", "id,SLACK.channel,facebookpsid,firebaseToken,ms_teams.tenant_id,webhook.headers.X-Key,expo.token", "u,c,f,t,m,h,e",
			`{"expo":{"token":"e"},"facebookPSID":"f","firebaseToken":"t","ms_teams":{"tenant_id":"m"},"slack":{"channel":"c"},"webhook":{"headers":{"X-Key":"h"}}}`},
		{"the claim profile", "id,profile", "u,https://example.com", `{"profile":"https://example.com"}`},
		{"numbers stay text", "id,custom.zip,birthdate", "u,01234,1990", `{"birthdate":"1990","custom":{"zip":"01234"}}`},
		{"a name in two lines", "id,\"my\r\nname\"", "u,x", `{"my\r\nname":"x"}`},
		{"no other columns", "id", "u", `{}`},
		{"reason alone is a member", "id,reason", "u,x", `{"reason":"x"}`},
		{"a file of rejects", "id,name,line,text,reason", "u,Ada,7,,never mind", `{"name":"Ada"}`},
		{"a file of rejects whose row is in the text", "id,name,line,text,reason", `,,7,"u,""Ada, B""",never mind`, `{"name":"Ada, B"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := readText(t, "users.csv", test.header+"\n"+test.row+"\n", inputOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]outcome{{Line: 2 + strings.Count(test.header, "\n"), UserID: "u", Profile: test.want}}, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestColumnsAreRefused(t *testing.T) {
	for _, test := range []struct{ header, want string }{
		{"name", "none of them is id or user_id"},
		{"id,name,name", `"name" and "name" are the same member`},
		{"id,Email,email", `"Email" and "email" are the same member`},
		{"id,user_id", `"id" and "user_id" are both the user id`},
		{"id,a,a.b", `"a" cannot have a value of its own and also a member, "a.b"`},
		{"id,a.b.c,a", `"a" cannot have a value of its own and also a member, "a.b.c"`},
		{"id,custom,custom.plan", `"custom" is an object`},
		{"id,address", `"address" is an object: give each of its members a column, such as address.country`},
		{"id,custom", "such as custom.plan"},
		{"id,webhook.headers", `"webhook.headers" is an object`},
		{"id,expo.tokens", `"expo.tokens" is a list`},
		{"id,email.work", `"email.work": email has no members`},
		{"id,.a", "no path"},
		{"id,a..b", "no path"},
		{"id,a.", "no path"},
	} {
		_, err := newColumns(strings.Split(test.header, ","), false)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one about %q", test.header, err, test.want)
		}
	}
}

func TestCellsWithoutAName(t *testing.T) {
	got, _, err := readText(t, "users.csv", "id,,name\nu1,x,Ada\nu2,,Bo\n", inputOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []outcome{{Line: 2, Reason: "cell 2 is not empty, but its column has no name"}, {Line: 3, UserID: "u2", Profile: `{"name":"Bo"}`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNotes(t *testing.T) {
	_, in, err := readText(t, "users.csv", "id,email,custom.plan,e-mail,first_name,line,text,reason\n", inputOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"This is a file of rejects: its last columns, line, text and reason, are not imported.",
		`Columns that Courier gives no meaning to, kept as they are named: "e-mail", "first_name".`,
	}
	if diff := cmp.Diff(want, in.notes()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
