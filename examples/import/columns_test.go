package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mappings parses -column flags.
func mappings(t *testing.T, flags ...string) []mapping {
	t.Helper()
	var all []mapping
	for _, text := range flags {
		m, err := parseMapping(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestColumns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, header, row, want string
		options                 inputOptions
	}{
		{name: "objects", header: "id,address.country,Address.Locality,custom.plan,custom.a.b", row: "u,FR,Lyon,pro,x",
			want: `{"address":{"country":"FR","locality":"Lyon"},"custom":{"a":{"b":"x"},"plan":"pro"}}`},
		{name: "names of your own", header: "id,first_name,courier.channel,Custom.Plan,My Field,my.own.path", row: "u,Ada,email,pro,x,y",
			want: `{"My Field":"x","courier":{"channel":"email"},"custom":{"Plan":"pro"},"first_name":"Ada","my":{"own":{"path":"y"}}}`},
		{name: "channels", header: "id,SLACK.channel,facebookpsid,firebaseToken,ms_teams.tenant_id,webhook.headers.X-Key,expo.token", row: "u,c,f,t,m,h,e",
			want: `{"expo":{"token":"e"},"facebookPSID":"f","firebaseToken":"t","ms_teams":{"tenant_id":"m"},"slack":{"channel":"c"},"webhook":{"headers":{"X-Key":"h"}}}`},
		{name: "channels that are objects", header: "id,apn.token,aws_sns.target_arn,pagerduty.routing_key,viber.receiver,expo.tokens,Airship.Audience.Named User", row: "u,a,b,c,d,e,f",
			want: `{"airship":{"audience":{"named_user":"f"}},"apn":{"token":"a"},"aws_sns":{"target_arn":"b"},"expo":{"tokens":"e"},"pagerduty":{"routing_key":"c"},"viber":{"receiver":"d"}}`},
		{name: "the claim profile", header: "id,profile", row: "u,https://example.com", want: `{"profile":"https://example.com"}`},
		{name: "numbers stay text", header: "id,custom.zip,birthdate", row: "u,01234,1990", want: `{"birthdate":"1990","custom":{"zip":"01234"}}`},
		{name: "a name in two lines", header: "id,\"my\r\nname\"", row: "u,x", want: `{"my\r\nname":"x"}`},
		{name: "no other columns", header: "id", row: "u", want: `{}`},
		{name: "reason alone is a member", header: "id,reason", row: "u,x", want: `{"reason":"x"}`},
		{name: "a file of rejects", header: "id,name,line,text,reason", row: "u,Ada,7,,never mind", want: `{"name":"Ada"}`},
		{name: "a file of rejects whose row is in the text", header: "id,name,line,text,reason", row: `,,7,"u,""Ada, B""",never mind`, want: `{"name":"Ada, B"}`},

		{name: "Phone Number", header: "User ID,Phone Number", row: "u,+1", want: `{"phone_number":"+1"}`},
		{name: "phone-number", header: "user-id,phone-number", row: "u,+1", want: `{"phone_number":"+1"}`},
		{name: "phoneNumber", header: "userId,phoneNumber", row: "u,+1", want: `{"phone_number":"+1"}`},
		{name: "PHONE_NUMBER", header: "USER_ID,PHONE_NUMBER", row: "u,+1", want: `{"phone_number":"+1"}`},
		{name: "a boolean in another spelling", header: "Id,Email Verified", row: "u,yes", want: `{"email_verified":true}`},
		{name: "a member of an object in another spelling", header: "id,Address.Postal Code,MS-Teams.Tenant ID", row: "u,1,2",
			want: `{"address":{"postal_code":"1"},"ms_teams":{"tenant_id":"2"}}`},
		{name: "an exact name wins", header: "id,Phone Number,phone_number", row: "u,a,+1", want: `{"Phone Number":"a","phone_number":"+1"}`},
		{name: "an exact name wins over a folded path", header: "id,Address.Country,address.country", row: "u,a,FR", want: `{"Address":{"Country":"a"},"address":{"country":"FR"}}`},
		{name: "an exact id wins", header: "User ID,id", row: "7,u", want: `{"User ID":"7"}`},

		{name: "a dot that is punctuation", header: "id,Phone No. 2,St. Name,Tel.,.x,a..b", row: "u,1,2,3,4,5",
			want: `{".x":"4","Phone No. 2":"1","St. Name":"2","Tel.":"3","a..b":"5"}`},
		{name: "a dot that is a path", header: "id,St.Name", row: "u,1", want: `{"St":{"Name":"1"}}`},

		{name: "-id", header: "Customer ID,id,name", row: "u,7,Ada", want: `{"id":"7","name":"Ada"}`, options: inputOptions{id: "Customer ID"}},
		{name: "-id in another spelling", header: "Customer ID,name", row: "u,Ada", want: `{"name":"Ada"}`, options: inputOptions{id: "customer_id"}},
		{name: "-id, and user_id is an ordinary column", header: "user_id,email", row: "7,u", want: `{"user_id":"7"}`, options: inputOptions{id: "email"}},
		{name: "-id, and the same column is a member", header: "email,name", row: "u,Ada", want: `{"email":"u","name":"Ada"}`,
			options: inputOptions{id: "email", columns: mappings(t, "email=email")}},
		{name: "-column", header: "id,E-mail 1 - Value,Tier", row: "u,a@b,pro", want: `{"custom":{"plan":"pro"},"email":"a@b"}`,
			options: inputOptions{columns: mappings(t, "E-mail 1 - Value=email", "Tier=custom.plan")}},
		{name: "-column with = in the name", header: "id,a=b", row: "u,x", want: `{"custom":{"plan":"x"}}`, options: inputOptions{columns: mappings(t, "a=b=custom.plan")}},
		{name: "-column of an object's name", header: "id,Webhook", row: "u,https://example.com", want: `{"webhook":{"url":"https://example.com"}}`,
			options: inputOptions{columns: mappings(t, "Webhook=webhook.url")}},
		{name: "-column is stronger than another spelling", header: "id,Phone Number,Mobile", row: "u,a,+1", want: `{"Phone Number":"a","phone_number":"+1"}`,
			options: inputOptions{columns: mappings(t, "Mobile=Phone Number")}},
		{name: "-column swaps names", header: "id,name,nickname", row: "u,a,b", want: `{"name":"b","nickname":"a"}`,
			options: inputOptions{columns: mappings(t, "name=nickname", "nickname=name")}},
		{name: "-column of a boolean", header: "id,Checked", row: "u,yes", want: `{"email_verified":true}`, options: inputOptions{columns: mappings(t, "Checked=email_verified")}},
		{name: "-column of your own", header: "id,Tier", row: "u,x", want: `{"tier":"x"}`, options: inputOptions{columns: mappings(t, "Tier=tier")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := readText(t, "users.csv", test.header+"\n"+test.row+"\n", test.options)
			if err != nil {
				t.Fatal(err)
			}
			want := []result{{Line: 2 + strings.Count(test.header, "\n"), UserID: "u", Profile: test.want}}
			if diff := cmp.Diff(want, sortedMembers(t, got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestColumnsAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header  string
		want    string
		options csvOptions
	}{
		{header: "name,Customer ID,plan", want: `no column is named id or user_id: the columns are "name", "Customer ID", "plan". Say which one holds the user IDs, such as -id 'Customer ID'`},
		{header: ",", want: "there are none"},
		{header: "id,name,name", want: `"name" and "name" are both the member name: rename or remove one`},
		{header: "id,foo,foo", want: `"foo" and "foo" are both the member foo`},
		{header: "id,Phone Number,phoneNumber", want: `"Phone Number" and "phoneNumber" are both the member phone_number: rename or remove one, or choose one, such as -column phoneNumber=phone_number`},
		{header: "id,user_id", want: `"id" and "user_id" are both the user ID: say which one is, such as -id user_id`},
		{header: "User ID,userId", want: `"User ID" and "userId" are both the user ID`},
		{header: "id,a,a.b", want: `"a" cannot have a value and also a member, "a.b"`},
		{header: "id,a.b.c,a", want: `"a" cannot have a value and also a member, "a.b.c"`},
		{header: "id,custom,custom.plan", want: `"custom" is an object`},
		{header: "id,custom", want: "such as custom.plan"},
		{header: "id,webhook.headers", want: `"webhook.headers" is an object`},
		{header: "id,airship.device_types", want: `"airship.device_types" is a list`},
		{header: "id,email.work", want: `"email.work": email has no members: rename the column, or use -column email.work=custom.email_work`},
		{header: "id,profile.E-mail", want: "use -column profile.E-mail=email"},
		{header: "a,b", want: `no column is named "Customer ID", as -id says: the columns are "a", "b"`, options: csvOptions{id: "Customer ID"}},
		{header: "Customer ID,customer_id", want: `no column is named "customerId", as -id says`, options: csvOptions{id: "customerId"}},
		{header: "id,a", want: `no column is named "b", as -column says: the columns are "id", "a"`, options: csvOptions{columns: mappings(t, "b=email")}},
		{header: "id,a", want: `-column names "a" twice`, options: csvOptions{columns: mappings(t, "a=email", "A=name")}},
		{header: "id,a,b", want: `"a" and "b" are both the member email`, options: csvOptions{columns: mappings(t, "a=email", "b=email")}},
		{header: "id,a,email", want: `"a" and "email" are both the member email: rename or remove one, or use -column email=custom.email`, options: csvOptions{columns: mappings(t, "a=email")}},
		{header: "id,a", want: `"a" is an object`, options: csvOptions{columns: mappings(t, "a=slack")}},

		// Objects: a member that is not a credential.
		{header: "id,Webhook", want: `"Webhook" is an object: name the column after one of its members, such as webhook.url, or use -column Webhook=webhook.url`},
		{header: "id,airship", want: "such as airship.audience.named_user"},
		{header: "id,Slack", want: "such as slack.email"},
		{header: "id,address", want: "such as address.formatted"},
		{header: "id,apn", want: "such as apn.token"},
		{header: "id,aws_sns", want: "such as aws_sns.target_arn"},
		{header: "id,webhook.authentication", want: "such as webhook.authentication.mode"},
	} {
		_, err := newColumns(strings.Split(test.header, ","), test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one about %q", test.header, err, test.want)
		}
	}
}

func TestMappingsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"email":          "use the name of a column, = and a member",
		"=email":         "use the name of a column, = and a member",
		"E-mail=":        "use the name of a column, = and a member",
		"Customer ID=id": "use -id 'Customer ID'",
		"Tier=custom.":   "is not a path",
	} {
		if _, err := parseMapping(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %q", text, err, want)
		}
	}
}

func TestCellsWithoutAName(t *testing.T) {
	t.Parallel()
	got, _, err := readText(t, "users.csv", "id,,name\nu1,x,Ada\nu2,,Bo\n", inputOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []result{{Line: 2, Reason: "cell 2 is not empty, but its column has no name"}, {Line: 3, UserID: "u2", Profile: `{"name":"Bo"}`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestEmptyCells(t *testing.T) {
	t.Parallel()
	const text = "id,name,email_verified,address.country,custom.a.b,custom.a.c\nu,, ,,,x\n"
	for _, test := range []struct {
		null bool
		want string
	}{
		{false, `{"custom":{"a":{"c":"x"}}}`},
		{true, `{"address":{"country":null},"custom":{"a":{"b":null,"c":"x"}},"email_verified":null,"name":null}`},
	} {
		got, _, err := readText(t, "users.csv", text, inputOptions{emptyNull: test.null})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if diff := cmp.Diff(test.want, sortedMembers(t, got)[0].Profile); diff != "" {
			t.Errorf("null %v: -want +got\n%s", test.null, diff)
		}
	}
}

func TestNullCells(t *testing.T) {
	t.Parallel()
	const text = "id,name,,email_verified,custom.plan\n" +
		`u1,NULL,\N,#N/A, NULL ` + "\n" +
		"u2,null,,NULL,\"NULL\",NULL\n" +
		"NULL,Ada,,,\n" +
		"NULL,NULL,NULL,NULL,NULL\n"
	nulls := []string{"NULL", `\N`, "#N/A"}
	for _, test := range []struct {
		emptyNull bool
		want      []result
	}{
		{false, []result{{2, "u1", `{}`, ""}, {3, "u2", `{"name":"null"}`, ""}, {Line: 4, Reason: noID}}},
		{true, []result{{2, "u1", `{"custom":{"plan":null},"email_verified":null,"name":null}`, ""},
			{3, "u2", `{"custom":{"plan":null},"email_verified":null,"name":"null"}`, ""}, {Line: 4, Reason: noID}}},
	} {
		got, _, err := readText(t, "users.csv", text, inputOptions{nulls: nulls, emptyNull: test.emptyNull})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, sortedMembers(t, got)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	header := "id,email,custom.plan,Phone,first_name,Tier,a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,a11,line,text,reason\n"
	_, in, err := readText(t, "users.csv", header, inputOptions{columns: mappings(t, "Tier=tier")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"This is a file of rejects: its last columns, line, text and reason, are not imported.",
		`Columns unknown to Courier, kept under their own names: "Phone" (did you mean phone_number?), "first_name", "Tier" as tier, ` +
			`"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11".`,
	}
	if diff := cmp.Diff(want, in.notes()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
