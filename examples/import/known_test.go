package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// TestKnownMembers reads a value of each known member's kind into a profile: it
// has to fit a field there.
func TestKnownMembers(t *testing.T) {
	t.Parallel()
	values := map[kind]any{kindText: "x", kindBool: true, kindObject: map[string]any{}, kindList: []any{"x"}}
	top := 0
	for _, m := range known().members {
		members := map[string]any{}
		put(members, strings.Split(m.path, "."), values[m.kind])
		written, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		var profile courier.Profile
		if err := json.Unmarshal(written, &profile); err != nil {
			t.Fatal(err)
		}
		if name := misfit(reflect.ValueOf(profile)); name != "" {
			t.Errorf("%s: %s does not fit the client's field", m.path, name)
		}
		if !strings.Contains(m.path, ".") {
			top++
		}
	}
	if fields := reflect.TypeFor[courier.Profile]().NumField() - 1; top != fields {
		t.Errorf("%d members of the profile are known, and the client has %d", top, fields)
	}
	if all, folded := len(known().members), len(known().byFold); all != folded {
		t.Errorf("%d members are known, but only %d names without case, blanks, _ and -", all, folded)
	}
}

// misfit returns the name of a field that did not take its value, at any depth.
func misfit(v reflect.Value) string {
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if name == "Extra" {
			for _, key := range field.MapKeys() {
				return key.String()
			}
			continue
		}
		if mismatch := field.MethodByName("Mismatch"); !mismatch.IsValid() || mismatch.Call(nil)[0].Len() > 0 {
			return name
		}
		value := field.MethodByName("Get").Call(nil)[0]
		if value.Kind() == reflect.Struct && value.FieldByName("Extra").IsValid() {
			if key := misfit(value); key != "" {
				return key
			}
		}
	}
	return ""
}

func TestKindsOfKnownMembers(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]kind{
		"email": kindText, "email_verified": kindBool, "address": kindObject, "custom": kindObject,
		"apn": kindObject, "apn.token": kindText, "apn.tokens": kindText, "firebaseToken": kindText,
		"aws_sns.target_arn": kindText, "pagerduty.routing_key": kindText, "oneSignalExternalUserId": kindText,
		"airship.audience.named_user": kindText, "airship.device_types": kindList, "webhook.headers": kindObject,
	} {
		m, ok := known().byPath[path]
		if !ok || m.kind != want {
			t.Errorf("%s: known %v, kind %v, want %v", path, ok, m.kind, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, want string }{
		{"phone", "phone_number"}, {"Phone No. 2", "phone_number"}, {"phone_nubmer", "phone_number"}, {"phone_num", "phone_number"},
		{"emial", "email"}, {"email address", "email"}, {"E-mail 1 - Value", "email"}, {"mail", "email"},
		{"nick", ""}, {"birthday", "birthdate"}, {"given", "given_name"}, {"country", "address.country"}, {"Postal Code", "address.postal_code"},
		{"address_country", "address.country"}, {"pagerduty routing key", "pagerduty.routing_key"},
		{"first_name", ""}, {"last_name", ""}, {"plan", ""}, {"company", ""}, {"phone_type", ""}, {"no", ""}, {"courier.channel", ""},
	} {
		if got := known().suggest(test.name, nil); got != test.want {
			t.Errorf("%q: %q, want %q", test.name, got, test.want)
		}
	}
	if got := known().suggest("phone", map[string]bool{"phone_number": true}); got == "phone_number" {
		t.Error("it suggests a member that has a column")
	}
}

func TestLikelyID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ header, want string }{
		{"Name,Order ID,Customer ID,E-mail", "Customer ID"},
		{"name,customerId", "customerId"},
		{"name,contactid", "contactid"},
		{"Paid,Contact Id,Covid", "Contact Id"},
		{"name,Id Number,uuid", "uuid"},
		{"name,E-mail Address", "E-mail Address"},
		{"Username,name", "Username"},
		{"name,city", "name"},
		{",name", "name"},
	} {
		if got := likelyID(strings.Split(test.header, ",")); got != test.want {
			t.Errorf("%s: %q, want %q", test.header, got, test.want)
		}
	}
}
