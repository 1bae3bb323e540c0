package main

import (
	"reflect"
	"strings"
	"sync"
	"unicode"

	courier "github.com/courier-profiles/courier-go"
)

// kind is what a member of a profile holds.
type kind int

const (
	kindText kind = iota
	kindBool
	kindObject
	kindList
)

// member is a member of a profile that Courier gives meaning to.
type member struct {
	path string // such as address.country
	kind kind
}

// catalog lists the known members, an object before its own members.
type catalog struct {
	members []member
	byPath  map[string]member
	byFold  map[string]member
}

// known returns the members that have a field in courier.Profile or in one of its
// objects, so that there is no second list to maintain, and what else is in the
// template of Courier's own import.
var known = sync.OnceValue(func() *catalog {
	c := &catalog{byPath: map[string]member{}, byFold: map[string]member{}}
	c.addFields("", reflect.TypeFor[courier.Profile]())
	for _, name := range []string{"first_name", "last_name", "courier.channel"} {
		if _, ok := c.byPath[name]; !ok {
			c.add(member{name, kindText})
		}
	}
	return c
})

func (c *catalog) add(m member) {
	c.members = append(c.members, m)
	c.byPath[m.path], c.byFold[fold(m.path)] = m, m
}

func (c *catalog) addFields(prefix string, object reflect.Type) {
	for i := range object.NumField() {
		field := object.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		get, isField := field.Type.MethodByName("Get")
		if name == "" || !isField {
			continue // Extra
		}
		value := get.Type.Out(0)
		m := member{prefix + name, kindOf(value)}
		c.add(m)
		if m.kind == kindObject && value.Kind() == reflect.Struct {
			c.addFields(m.path+".", value)
		}
	}
}

func kindOf(value reflect.Type) kind {
	switch {
	case value.Kind() == reflect.String, value == reflect.TypeFor[courier.Tokens]():
		return kindText // one token is a string
	case value.Kind() == reflect.Bool:
		return kindBool
	case value.Kind() == reflect.Struct, value.Kind() == reflect.Map:
		return kindObject
	}
	return kindList
}

// find returns the known member that a name stands for, in any spelling.
func (c *catalog) find(name string) (member, bool) {
	m, ok := c.byFold[fold(name)]
	return m, ok
}

// resolve returns the path that a name stands for: that of a known member, or one
// that begins with a known object that may have any members, such as custom. exact
// reports that it is spelled that way already.
func (c *catalog) resolve(path []string) (resolved []string, exact, ok bool) {
	for n := len(path); n > 0; n-- {
		begin := strings.Join(path[:n], ".")
		m, isKnown := c.find(begin)
		if !isKnown {
			continue
		}
		if n < len(path) && m.kind != kindObject {
			return path, false, false // profile.email: profile is text
		}
		return append(strings.Split(m.path, "."), path[n:]...), m.path == begin, true
	}
	return path, false, false
}

// splitPath splits a name at its dots, unless one of them is punctuation, as in
// "Phone No. 2" and "Tel.".
func splitPath(name string) []string {
	path := strings.Split(name, ".")
	for _, part := range path {
		if part == "" || strings.TrimSpace(part) != part {
			return []string{name}
		}
	}
	return path
}

// fold returns a name without the differences between Phone Number, phone-number
// and phoneNumber. A name with a leading underscore is another one: _id is what a
// database calls its own key.
func fold(name string) string {
	name = strings.TrimSpace(name)
	if strings.HasPrefix(name, "_") {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// example returns a text member inside an object. It prefers an email address,
// which people have, and avoids credentials.
func (c *catalog) example(object string) string {
	best, bestRank := object+".plan", 3 // for an object of any members, such as custom
	for _, m := range c.members {
		if m.kind != kindText || !strings.HasPrefix(m.path, object+".") {
			continue
		}
		name, rank := m.path[strings.LastIndexByte(m.path, '.')+1:], 1
		switch {
		case name == "email":
			rank = 0
		case isSensitive(name):
			rank = 2
		}
		if rank < bestRank {
			best, bestRank = m.path, rank
		}
	}
	return best
}
