package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns says what the cells of a row are.
type columns struct {
	header    []string // as they are named in the input, without those of a file of rejects
	rejects   bool     // the input is a file of rejects
	id        int      // index of the user id
	members   []column
	unnamed   []int
	emptyNull bool
}

// column is a member of the profile, such as address.country.
type column struct {
	index int
	path  []string
	kind  kind
}

// kind is what a member of the profile holds.
type kind int

const (
	kindText kind = iota
	kindBool
	kindObject
	kindList
)

// known are the members that Courier gives a meaning to. Names match them in any
// case; all other columns are members named as the column is.
var known = map[string]kind{
	"sub": kindText, "name": kindText, "given_name": kindText, "family_name": kindText, "middle_name": kindText, "nickname": kindText,
	"preferred_name": kindText, "preferred_username": kindText, "profile": kindText, "picture": kindText, "website": kindText,
	"email": kindText, "email_verified": kindBool, "gender": kindText, "birthdate": kindText, "zoneinfo": kindText, "locale": kindText,
	"phone_number": kindText, "phone_number_verified": kindBool, "updated_at": kindText,

	"address": kindObject, "address.formatted": kindText, "address.street_address": kindText, "address.locality": kindText,
	"address.region": kindText, "address.postal_code": kindText, "address.country": kindText,

	"custom": kindObject,

	"airship": kindObject, "airship.audience": kindObject, "airship.audience.named_user": kindText, "airship.device_types": kindList,
	"apn":     kindText,
	"discord": kindObject, "discord.channel_id": kindText, "discord.user_id": kindText,
	"expo": kindObject, "expo.token": kindText, "expo.tokens": kindList,
	"facebookPSID": kindText, "firebaseToken": kindText,
	"intercom": kindObject, "intercom.from": kindText, "intercom.to": kindObject, "intercom.to.id": kindText,
	"ms_teams": kindObject, "ms_teams.tenant_id": kindText, "ms_teams.service_url": kindText, "ms_teams.user_id": kindText,
	"ms_teams.email": kindText, "ms_teams.channel_id": kindText, "ms_teams.conversation_id": kindText,
	"ms_teams.channel_name": kindText, "ms_teams.team_id": kindText,
	"oneSignalPlayerID": kindText,
	"slack":             kindObject, "slack.access_token": kindText, "slack.channel": kindText, "slack.email": kindText, "slack.user_id": kindText,
	"slack.incoming_webhook": kindObject, "slack.incoming_webhook.url": kindText,
	"target_arn": kindText,
	"webhook":    kindObject, "webhook.url": kindText, "webhook.method": kindText, "webhook.headers": kindObject, "webhook.profile": kindText,
	"webhook.authentication": kindObject, "webhook.authentication.mode": kindText, "webhook.authentication.username": kindText,
	"webhook.authentication.password": kindText, "webhook.authentication.token": kindText,
}

// spelling returns the known spelling of a name, which may begin with that of a
// known object.
func spelling(name string) string {
	for begin := name; ; {
		for key := range known {
			if strings.EqualFold(key, begin) {
				return key + name[len(begin):]
			}
		}
		i := strings.LastIndexByte(begin, '.')
		if i < 0 {
			return name
		}
		begin = begin[:i]
	}
}

func isID(name string) bool {
	name = strings.TrimSpace(name)
	return strings.EqualFold(name, "id") || strings.EqualFold(name, "user_id")
}

func hasID(header []string) bool { return slices.ContainsFunc(header, isID) }

// newColumns reads the names of the columns, and refuses what no row could be
// right with.
func newColumns(header []string, emptyNull bool) (*columns, error) {
	for len(header) > 0 && isBlank(header[len(header)-1]) {
		header = header[:len(header)-1]
	}
	c := &columns{header: header, id: -1, emptyNull: emptyNull}
	if own := len(header) - len(rejectColumns); own > 0 && slices.Equal(header[own:], rejectColumns) {
		c.header, c.rejects = header[:own], true
	}
	names := map[string]string{} // by path, as they are in the input
	for i, name := range c.header {
		name = strings.TrimSpace(name)
		switch {
		case !utf8.ValidString(name):
			return nil, errors.New(notUTF8)
		case strings.Contains(strings.ReplaceAll(name, "\r\n", ""), "\r"):
			return nil, errors.New("a carriage return (CR) is in one: save the file with lines that end in LF or CRLF")
		case name == "":
			c.unnamed = append(c.unnamed, i)
			continue
		case isID(name) && c.id >= 0:
			return nil, fmt.Errorf("%q and %q are both the user id: rename or remove one", c.header[c.id], name)
		case isID(name):
			c.id = i
			continue
		}
		path := spelling(name)
		if first, twice := names[path]; twice {
			return nil, fmt.Errorf("%q and %q are the same member of the profile: rename or remove one", first, name)
		}
		names[path] = name
		member := column{index: i, path: strings.Split(path, "."), kind: known[path]}
		if slices.Contains(member.path, "") {
			return nil, fmt.Errorf("%q is no path: it has a dot at an end or two in a row", name)
		}
		switch member.kind {
		case kindObject:
			return nil, fmt.Errorf("%q is an object: give each of its members a column, such as %s.%s", name, path, memberOf(path))
		case kindList:
			return nil, fmt.Errorf("%q is a list, which no cell can hold: import it from an .ndjson file", name)
		}
		c.members = append(c.members, member)
	}
	if c.id < 0 {
		return nil, fmt.Errorf("none of them is id or user_id: %s", quoted(c.header))
	}
	for _, member := range c.members {
		for i := 1; i < len(member.path); i++ {
			outer := strings.Join(member.path[:i], ".")
			inner := names[strings.Join(member.path, ".")]
			if kind, isKnown := known[outer]; isKnown && kind != kindObject {
				return nil, fmt.Errorf("%q: %s has no members", inner, outer)
			}
			if name, ok := names[outer]; ok {
				return nil, fmt.Errorf("%q cannot have a value of its own and also a member, %q: rename or remove one", name, inner)
			}
		}
	}
	return c, nil
}

// memberOf returns a member of an object, for an example.
func memberOf(path string) string {
	members := []string{}
	for key := range known {
		if inner, ok := strings.CutPrefix(key, path+"."); ok && !strings.Contains(inner, ".") {
			members = append(members, inner)
		}
	}
	if len(members) == 0 {
		return "plan"
	}
	return slices.Min(members)
}

// width is how many cells a row needs.
func (c *columns) width() int {
	if c.rejects {
		return len(c.header) + len(rejectColumns)
	}
	return len(c.header)
}

// read returns the update that is in a row, which has a cell for each column, or
// why there is none.
func (c *columns) read(cells []string) (userID string, members map[string]any, problem string) {
	if problem := checkID(cells[c.id]); problem != "" {
		return "", nil, problem
	}
	for _, i := range c.unnamed {
		if !isBlank(cells[i]) {
			return "", nil, fmt.Sprintf("cell %d is not empty, but its column has no name", i+1)
		}
	}
	members = make(map[string]any, len(c.members))
	for _, member := range c.members {
		cell := cells[member.index]
		var value any = cell
		switch {
		case isBlank(cell) && !c.emptyNull:
			continue
		case isBlank(cell):
			value = nil
		case member.kind == kindBool:
			b, ok := parseBool(cell)
			if !ok {
				return "", nil, fmt.Sprintf("%s is %.40q: use true or false", c.header[member.index], cell)
			}
			value = b
		}
		put(members, member.path, value)
	}
	return cells[c.id], members, ""
}

// put sets a member, in objects where the path has them.
func put(members map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := members[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			members[name] = inner
		}
		members = inner
	}
	members[path[len(path)-1]] = value
}

func parseBool(cell string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "true", "yes", "y", "1":
		return true, true
	case "false", "no", "n", "0":
		return false, true
	}
	return false, false
}

// notes tells of columns that may have been meant as something else.
func (c *columns) notes() []string {
	var notes, others []string
	if c.rejects {
		notes = append(notes, "This is a file of rejects: its last columns, line, text and reason, are not imported.")
	}
	for _, member := range c.members {
		_, isKnown := known[strings.Join(member.path, ".")]
		if !isKnown && member.path[0] != "custom" {
			others = append(others, strings.TrimSpace(c.header[member.index]))
		}
	}
	if len(others) > 0 {
		notes = append(notes, "Columns that Courier gives no meaning to, kept as they are named: "+quoted(others)+".")
	}
	return notes
}

// quoted lists names.
func quoted(names []string) string {
	const most = 12
	var list []string
	for _, name := range names[:min(len(names), most)] {
		list = append(list, fmt.Sprintf("%.60q", name))
	}
	if len(names) > most {
		list = append(list, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(list, ", ")
}
