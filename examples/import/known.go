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
	path  string // such as address.country
	kind  kind
	field int // index of its Field[string] or Field[bool] in courier.Profile; -1 if it has none
}

// catalog lists the known members, an object before its own members.
type catalog struct {
	members []member
	byPath  map[string]member
	byFold  map[string]member
}

// known returns the members that have a field in courier.Profile or in one of its
// objects, so that there is no second list to maintain.
var known = sync.OnceValue(func() *catalog {
	c := &catalog{byPath: map[string]member{}, byFold: map[string]member{}}
	c.addFields("", reflect.TypeFor[courier.Profile]())
	return c
})

func (c *catalog) addFields(prefix string, object reflect.Type) {
	for i := range object.NumField() {
		field := object.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		get, isField := field.Type.MethodByName("Get")
		if name == "" || !isField {
			continue // Extra
		}
		value := get.Type.Out(0)
		m := member{path: prefix + name, kind: kindOf(value), field: -1}
		if prefix == "" && (value.Kind() == reflect.String || value.Kind() == reflect.Bool) {
			m.field = i
		}
		c.members = append(c.members, m)
		c.byPath[m.path], c.byFold[fold(m.path)] = m, m
		if m.kind == kindObject && value.Kind() == reflect.Struct {
			c.addFields(m.path+".", value)
		}
	}
}

func kindOf(value reflect.Type) kind {
	switch {
	case value.Kind() == reflect.String, value == reflect.TypeFor[courier.Tokens](): // one token is a string
		return kindText
	case value.Kind() == reflect.Bool:
		return kindBool
	case value.Kind() == reflect.Struct, value.Kind() == reflect.Map:
		return kindObject
	}
	return kindList
}

// resolve returns the path that a name stands for: the known spelling where it is
// known, or begins with the name of a known object. exact reports that it is
// spelled that way already.
func (c *catalog) resolve(name string) (path []string, exact bool) {
	path = splitPath(name)
	if len(path) == 1 && strings.Contains(name, ".") {
		return path, true
	}
	for n := len(path); n > 0; n-- {
		begin := strings.Join(path[:n], ".")
		if m, ok := c.byFold[fold(begin)]; ok {
			return append(strings.Split(m.path, "."), path[n:]...), m.path == begin
		}
	}
	return path, true
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
// and phoneNumber.
func fold(name string) string {
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
		case strings.Contains(name, "token"), strings.Contains(name, "key"), strings.Contains(name, "password"):
			rank = 2
		}
		if rank < bestRank {
			best, bestRank = m.path, rank
		}
	}
	return best
}
