package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// mapping is a -column flag: the column of that name goes to path, or nowhere if
// path is empty.
type mapping struct{ column, path string }

// plan says where the values of each name go. It grows with the names of the
// reader: those of JSON are known only when all records were read.
type plan struct {
	*readOptions
	reader  reader
	isCSV   bool
	idName  string    // the name of the user ID
	columns []*column // by index of the reader's names
	id      int       // index of the user ID's column; -1 while it has not appeared
	targets map[string]*column
	mapped  []bool // by index of the -column flags: the column has appeared

	// changed says that a column lost its target to one that appeared later, so that
	// records have to be checked again.
	changed bool
}

// column is where the values of a name go.
type column struct {
	name
	target []string // path in the profile; nil if the values are not sent
	kind   kind
	asJSON bool   // cells are JSON
	why    string // the values are not sent, if there is more to say than that
	rank   int
	survey columnSurvey
}

// Ranks of claims to the same target.
const (
	asNamed  = iota // in another spelling
	isExact         // the column has the member's name
	isMapped        // by a -column flag
)

func newPlan(r reader, idName string, o *readOptions) *plan {
	_, isCSV := r.(*csvReader)
	return &plan{readOptions: o, reader: r, isCSV: isCSV, idName: idName, id: -1,
		targets: map[string]*column{}, mapped: make([]bool, len(o.columns))}
}

// extend adds columns for the names that the reader has found since the last call.
func (p *plan) extend() error {
	names := p.reader.names()
	for _, n := range names[min(len(p.columns), len(names)):] {
		c := &column{name: n}
		p.columns = append(p.columns, c)
		if p.id < 0 && n.text != "" && n.text == p.idName {
			p.id = len(p.columns) - 1
		}
		if err := p.place(c, p.id == len(p.columns)-1); err != nil {
			return err
		}
	}
	return nil
}

// place decides where a column goes.
func (p *plan) place(c *column, isID bool) error {
	path := c.path
	if p.isCSV {
		path = splitPath(c.text)
	}
	resolved, exact, isKnown := known().resolve(path)
	if !isKnown && len(path) == 1 { // of JSON: {"custom.plan": …}
		resolved, exact, isKnown = known().resolve(splitPath(c.text))
	}
	if c.update {
		c.target = path[1:] // as it is
		return nil
	}
	if i := p.mappingOf(c.text); i >= 0 {
		p.mapped[i] = true
		if p.readOptions.columns[i].path == "" {
			c.why = "left out by -column"
			return nil
		}
		target, _, _ := known().resolve(splitPath(p.readOptions.columns[i].path))
		c.rank = isMapped
		return p.claim(c, target)
	}
	switch {
	case c.text == "":
		c.why = "the column has no name"
	case isKnown && p.fits(c, resolved):
		if exact {
			c.rank = isExact
		}
		return p.claim(c, resolved)
	case isKnown, isID:
	case isSecret(c.text):
		c.why = "looks like a credential"
	case p.rest == "own":
		return p.claim(c, path)
	case p.rest == "custom":
		return p.claim(c, append([]string{"custom"}, path...))
	}
	return nil
}

// fits reports whether a column can hold the known member of its name, or says why
// it cannot.
func (p *plan) fits(c *column, target []string) bool {
	path := strings.Join(target, ".")
	switch m := known().byPath[path]; {
	case path == "custom":
	case m.kind == kindObject:
		inner := known().example(path)
		c.why = "an object: -column " + job.Quote(c.text+"="+inner)
		return false
	case m.kind == kindList && p.isCSV:
		c.why = "a list, for which the file has to be JSON"
		return false
	}
	return true
}

// claim gives a column its target, unless another one has more right to it.
func (p *plan) claim(c *column, target []string) error {
	key := strings.Join(target, ".")
	m := known().byPath[key]
	c.kind = m.kind
	c.asJSON = p.isCSV && (m.kind == kindObject || m.kind == kindList)
	other, isTaken := p.targets[key]
	switch {
	case !isTaken:
	case other.rank > c.rank:
		c.lose(other, key)
		return nil
	case other.rank < c.rank:
		p.changed = true
		other.lose(c, key)
	case other.text == c.text:
		return fmt.Errorf("two columns are called %q: rename or remove one", c.text)
	default:
		return fmt.Errorf("%q and %q are both the member %s: leave one out, such as -column %s",
			other.text, c.text, key, job.Quote(c.text+"="))
	}
	p.targets[key] = c
	c.target = target
	return nil
}

// lose leaves a column without its target, for the other one.
func (c *column) lose(to *column, key string) {
	c.target, c.asJSON, c.kind = nil, false, kindText
	c.why = fmt.Sprintf("%s is the column %.40q", key, to.text)
}

// mappingOf returns the index of the -column flag for a name, or -1.
func (p *plan) mappingOf(text string) int {
	for i, m := range p.readOptions.columns {
		if text != "" && m.column == text {
			return i
		}
	}
	for i, m := range p.readOptions.columns {
		if text != "" && fold(m.column) == fold(text) && !p.hasName(m.column) {
			return i
		}
	}
	return -1
}

func (p *plan) hasName(text string) bool {
	return slices.ContainsFunc(p.reader.names(), func(n name) bool { return n.text == text })
}

// complete refuses -column flags whose columns have not appeared, except in JSON rejects:
// perhaps all records with that name were merged.
func (p *plan) complete() error {
	if !p.isCSV && hasReasons(p.reader) {
		return nil
	}
	for i, m := range p.readOptions.columns {
		switch {
		case p.mapped[i]:
		case p.hasName(m.column):
			return fmt.Errorf("-column %s has no effect: another -column is for that column, or "+
				"it is in a profile that is sent as it is", job.Quote(m.column+"="+m.path))
		default:
			return noColumn(fmt.Sprintf("%.60q, as -column says", m.column), p.reader.names())
		}
	}
	return nil
}

// apply returns the update that a record is. If it is none, the user ID may still be
// known.
func (p *plan) apply(r *record) (userID string, _ courier.Profile, _ *problem) {
	userID, idProblem := p.userID(r)
	switch {
	case r.problem != nil:
		return userID, courier.Profile{}, r.problem
	case idProblem != nil:
		return userID, courier.Profile{}, idProblem
	}
	if p.isCSV {
		if problem := p.noRecord(r); problem != nil {
			return userID, courier.Profile{}, problem
		}
	}
	if problem := checkID(userID); problem != nil {
		return userID, courier.Profile{}, problem
	}
	members := map[string]any{}
	for i := range r.values {
		v := &r.values[i]
		c := p.columns[v.column]
		if c.target == nil {
			continue
		}
		value, isSet, problem := p.convert(c, v)
		if problem != nil {
			return userID, courier.Profile{}, problem
		}
		if isSet && !put(members, c.target, value) {
			return userID, courier.Profile{}, p.conflict(c)
		}
	}
	profile := courier.Profile{Extra: members}
	if !p.isCSV { // of CSV, nothing can fail
		if _, err := json.Marshal(profile); err != nil {
			return userID, courier.Profile{}, wrongly("the record cannot be sent", "%s",
				job.ErrorText(err))
		}
	}
	return userID, profile, nil
}

// conflict returns the problem of a value that does not go with another one.
func (p *plan) conflict(c *column) *problem {
	out := c.text
	if c.update {
		out = p.idName
	}
	return wrong(fmt.Sprintf("%s conflicts with another column, which has another value or an "+
		"object there: leave one out, such as -column %s", strings.Join(c.target, "."),
		job.Quote(out+"=")))
}

func (p *plan) userID(r *record) (string, *problem) {
	for i := range r.values {
		v := &r.values[i]
		if v.column != p.id {
			continue
		}
		if v.isText() {
			return p.unlessEmpty(v.text)
		}
		if string(v.json) == "null" {
			return "", noID
		}
		id, ok := readID(v.json)
		if !ok {
			return "", notID
		}
		return p.unlessEmpty(id)
	}
	if !p.isCSV && r.problem == nil && p.id >= 0 && len(p.columns[p.id].path) == 1 {
		r.lacks = p.idName
	}
	return "", noID
}

func (p *plan) unlessEmpty(id string) (string, *problem) {
	if p.isEmpty(id) {
		return "", noID
	}
	return id, nil
}

// convert returns what is sent of a value. isSet is false if that is nothing.
func (p *plan) convert(c *column, v *value) (_ any, isSet bool, _ *problem) {
	path := strings.Join(c.target, ".")
	isText := v.isText()
	switch {
	case c.update:
		return v.json, true, nil
	case isText && p.isEmpty(v.text), !isText && p.isEmpty(string(v.json)),
		string(v.json) == "null":
		return nil, p.emptyNull, nil
	case isText && isFormula(v.text) && (path == "email" || path == "phone_number"):
		return nil, false, formula(path, v.text)
	case c.asJSON:
		return p.parseCell(c, v.text)
	case c.kind == kindBool && isText:
		b, ok := parseBool(v.text)
		if !ok {
			return nil, false, wrongly(fmt.Sprintf("%.40s is not true or false", c.text),
				"%s is %.40q: use true or false", c.text, v.text)
		}
		return b, true, nil
	case c.kind == kindObject && (isText || v.json[0] != '{'):
		return nil, false, wrong(path + " is not an object")
	case isText && v.json != nil && strings.ContainsRune(v.text, utf8.RuneError):
		return v.json, true, nil // half of a surrogate pair, "\ud800", has no other text
	case isText:
		return v.text, true, nil
	case v.json[0] == '{':
		return map[string]any{}, true, nil // or else it was flattened
	}
	return v.json, true, nil
}

// parseCell reads JSON in a cell.
func (p *plan) parseCell(c *column, text string) (any, bool, *problem) {
	if c.kind == kindList {
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(text), &list); err != nil || list == nil { // null
			return nil, false, wrong(fmt.Sprintf("%.40s is not a JSON list", c.text))
		}
		return list, true, nil
	}
	pairs, err := readPairs(text)
	if err != nil {
		return nil, false, wrongly(fmt.Sprintf("%.40s is not a JSON object", c.text),
			"%s is not a JSON object: %s", c.text, err)
	}
	if repeatsName([]byte(text)) {
		return nil, false, wrong(fmt.Sprintf("%.40s has a member twice", c.text))
	}
	members := p.members(pairs)
	// A problem that only shows when it is written.
	if _, err := json.Marshal(members); err != nil {
		return nil, false, wrong(fmt.Sprintf("%.40s is not a JSON object", c.text))
	}
	return members, len(members) > 0 || len(pairs) == 0, nil
}

// members returns the members of an object in a cell. What is empty in it does what it
// does in JSON.
func (p *plan) members(pairs []pair) map[string]any {
	members := map[string]any{}
	for _, m := range pairs {
		var text string
		isText := json.Unmarshal(m.value, &text) == nil // null too
		inner, err := readPairs(string(m.value))
		switch {
		case isText && p.isEmpty(text), p.isEmpty(string(m.value)):
			if p.emptyNull {
				members[m.key] = nil
			}
		case err == nil && len(inner) > 0:
			if object := p.members(inner); len(object) > 0 {
				members[m.key] = object
			}
		default:
			members[m.key] = m.value
		}
	}
	return members
}

// put sets a member, inside objects if its path leads there. It returns false if
// there is another value already, which is not an object.
func put(members map[string]any, path []string, value any) bool {
	for _, name := range path[:len(path)-1] {
		inner, isObject := members[name].(map[string]any)
		if !isObject {
			if before, isTaken := members[name]; isTaken {
				return before == nil && value == nil // it is removed with the object
			}
			inner = map[string]any{}
			members[name] = inner
		}
		members = inner
	}
	last := path[len(path)-1]
	before, isTaken := members[last]
	if !isTaken {
		members[last] = value
		return true
	}
	object, isObject := value.(map[string]any)
	if other, ok := before.(map[string]any); ok && isObject {
		for name, value := range object {
			if !put(other, []string{name}, value) {
				return false
			}
		}
		return true
	}
	if value == nil && removesAll(before) {
		members[last] = nil
		return true
	}
	is, _ := json.Marshal(value)
	was, _ := json.Marshal(before)
	return bytes.Equal(is, was)
}

// removesAll reports whether a value removes members and sets none.
func removesAll(value any) bool {
	object, isObject := value.(map[string]any)
	if !isObject || len(object) == 0 {
		return value == nil
	}
	for _, inner := range object {
		if !removesAll(inner) {
			return false
		}
	}
	return true
}

func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "t", "yes", "y", "on", "1", "checked":
		return true, true
	case "false", "f", "no", "n", "off", "0", "unchecked":
		return false, true
	}
	return false, false
}

// noRecord recognizes rows that programs write between or above the records.
func (p *plan) noRecord(r *record) *problem {
	filled, same, imports, dashes := 0, 0, 0, 0
	for _, v := range r.values {
		if v.text == "" {
			continue
		}
		filled++
		if repeats(v.text, p.columns[v.column].text) {
			same++
		}
		if strings.HasPrefix(v.text, `{"ImportId"`) { // Qualtrics
			imports++
		}
		if len(v.text) > 1 && strings.Trim(v.text, "-=") == "" {
			dashes++
		}
	}
	id := r.values[p.id].text
	switch {
	case repeats(id, p.columns[p.id].text), same > 1 && 2*same >= filled,
		imports == filled:
		return wrong("the row is a second line of column names")
	case dashes == filled:
		return wrong("the row is a line of dashes")
	}
	return nil
}

// repeats reports whether a cell is the name of its column, in any spelling.
func repeats(cell, name string) bool {
	if cell == "" || name == "" || cell[0]|0x20 != name[0]|0x20 { // most cells
		return false
	}
	return fold(cell) == fold(name)
}

// errNoRecords is the error for an input without any.
var errNoRecords = errors.New("there are no records in this file")

// noColumn is the error for a name that no column has, in CSV or JSON.
func noColumn(called string, names []name) error {
	var texts []string
	for _, n := range names {
		if n.text != "" {
			texts = append(texts, n.text)
		}
	}
	return fmt.Errorf("no column is called %s: the columns are %s", called, quoted(texts))
}

// quoted lists names.
func quoted(names []string) string {
	const most = 30
	var list []string
	for i, name := range names {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		list = append(list, fmt.Sprintf("%.60q", name))
	}
	return strings.Join(list, ", ")
}
