package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// survey is what a check has found in the records.
type survey struct {
	records, good int64
	users         map[uint64]uint32 // records of each, by hash
	most          uint32            // records of the user with the most
	mostID        string
	repeated      int64 // users with more than one record

	problems []*problemCount // in the order in which they appeared
	byKind   map[string]*problemCount

	phones, birthdates, emails, ids suspect
}

// columnSurvey is what a check has found in the values of a column.
type columnSurvey struct {
	filled  int64
	example string
	isSent  bool             // the record of the example is
	nulls   map[string]int64 // values such as NULL; if the column is sent, those that are
	looks   looks            // of a column that is not sent
}

// look looks at a value of a column that is not sent. The first ones tell enough.
func (s *columnSurvey) look(text string) {
	const enough = 10_000
	switch {
	case s.looks.values == enough:
	case isNull(text):
		s.addNull(text)
	default:
		s.looks.add(text)
	}
}

func (s *columnSurvey) addNull(text string) {
	if s.nulls == nil {
		s.nulls = map[string]int64{}
	}
	s.nulls[text]++
}

type problemCount struct {
	kind   string
	advice string
	n      int64
	lines  []int // of the first ones
}

// suspect counts values that Courier accepts, but that are probably wrong.
type suspect struct {
	n    int64
	line int // of the first one
}

func (s *suspect) add(line int) {
	if s.n++; s.n == 1 {
		s.line = line
	}
}

// heldBack are the users with a rejected record, and its line. Their later records
// are rejected too: if they were sent, importing the rejects would restore old data.
type heldBack map[uint64]int

// admit returns the update that a record is, or why it is rejected.
func (h heldBack) admit(p *plan, r *record) (string, courier.Profile, *problem) {
	userID, profile, problem := p.apply(r)
	if userID == "" {
		return userID, profile, problem
	}
	user := hashID(userID)
	if line, isHeld := h[user]; isHeld && problem == nil {
		problem = heldBy(line)
	}
	if _, isHeld := h[user]; problem != nil && !isHeld {
		h[user] = r.line
	}
	return userID, profile, problem
}

func heldBy(line int) *problem {
	return wrongly("held back, because an earlier record of the user was rejected",
		"held back, because line %d of the same user was rejected", line)
}

var hashSeed = maphash.MakeSeed()

func hashID(userID string) uint64 { return maphash.String(hashSeed, userID) }

// check reads all records and applies the plan to each.
func check(ctx context.Context, s *source, p *plan, stderr io.Writer) (*survey, error) {
	for {
		p.changed = false
		result, err := checkOnce(ctx, s, p, stderr)
		if err != nil {
			return nil, err
		}
		again, err := s.finishLayout(p)
		if err != nil {
			return nil, err
		}
		if !again && !p.changed {
			return result, p.complete()
		}
	}
}

func checkOnce(ctx context.Context, s *source, p *plan, stderr io.Writer) (*survey, error) {
	r, err := s.open()
	if err != nil {
		return nil, err
	}
	p.reader = r
	if !s.layout.known {
		s.layout = layout{}
	}
	for _, c := range p.columns {
		c.survey = columnSurvey{}
	}
	result := &survey{users: map[uint64]uint32{}, byKind: map[string]*problemCount{}}
	held := heldBack{}
	if job.IsTerminal(stderr) {
		started := time.Now()
		bar := job.StartProgress(stderr, func() job.Status {
			done := s.in.pos.Load()
			return job.Status{Done: done, Total: s.in.size,
				Text: fmt.Sprintf("checking, %.0fs", time.Since(started).Seconds())}
		})
		defer bar.Stop()
	}
	for {
		record, err := r.next()
		switch {
		case err == io.EOF:
			return result, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", s.in.name, err)
		case ctx.Err() != nil:
			return nil, job.ErrInterrupted
		}
		if err := p.extend(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.in.name, err)
		}
		userID, _, problem := held.admit(p, &record)
		result.add(p, &record, userID, problem)
	}
}

// finishLayout decides what the rows of a CSV file have in common. It returns true
// if the check has to be repeated with that.
func (s *source) finishLayout(p *plan) (again bool, err error) {
	l := &s.layout
	c, isCSV := p.reader.(*csvReader)
	if !isCSV || l.known {
		return false, nil
	}
	l.known = true
	if l.wider == l.rows && l.rows > 1 {
		line := "column_1" + string(c.comma) + c.line1
		return false, fmt.Errorf("%s: every row has %d cells, but line %d names %d columns: "+
			"edit that line so that it names all, such as\n\t%s",
			s.in.name, len(c.columns)+1, c.at, len(c.columns), line)
	}
	if l.extra > 0 && l.rows < 2 {
		l.extra = 0
	}
	return l.extra != l.assumed, nil
}

func (s *survey) add(p *plan, r *record, userID string, problem *problem) {
	s.records++
	for i := range r.values {
		v := &r.values[i]
		s.addValue(p, p.columns[v.column], v, r.line, problem == nil)
	}
	if problem != nil {
		s.addProblem(problem, r.line)
		return
	}
	s.good++
	if decimal.MatchString(userID) {
		s.ids.add(r.line)
	}
	user := hashID(userID)
	n := s.users[user] + 1
	s.users[user] = n
	if n == 2 {
		s.repeated++
	}
	if n > s.most {
		s.most, s.mostID = n, userID
	}
}

func (s *survey) addProblem(p *problem, line int) {
	const most = 5
	c := s.byKind[p.kind]
	if c == nil {
		c = &problemCount{kind: p.kind, advice: p.advice}
		s.byKind[p.kind] = c
		s.problems = append(s.problems, c)
	}
	if c.n++; c.n <= most {
		c.lines = append(c.lines, line)
	}
}

// nulls are what programs write where there is no value.
var nulls = []string{"null", `\n`, "none", "nil", "nan", "n/a", "#n/a", "undefined"}

func isNull(text string) bool {
	return len(text) <= len("undefined") && slices.Contains(nulls, strings.ToLower(text))
}

func (s *survey) addValue(p *plan, c *column, v *value, line int, isSent bool) {
	text := v.text
	isOther := !v.isText() && string(v.json) != "null"
	if isOther || c.update && text == "" {
		text = string(v.json)
	}
	if text == "" || p.isEmpty(text) && !c.update { // an update is sent as it is
		return
	}
	c.survey.filled++
	if c.survey.example == "" || isSent && !c.survey.isSent { // preferably of what is sent
		c.survey.example, c.survey.isSent = example(text, v.json), isSent
	}
	switch {
	case c.target == nil:
		c.survey.look(text)
		return
	case !isSent:
		return
	case isNull(text):
		if v.isText() {
			c.survey.addNull(text)
		}
		return
	}
	switch strings.Join(c.target, ".") {
	case "phone_number":
		if !isPhone(text) {
			s.phones.add(line)
		}
	case "birthdate":
		if !isDate(text) {
			s.birthdates.add(line)
		}
	case "email":
		if strings.Count(text, "@") != 1 || strings.ContainsAny(text, "<>[") {
			s.emails.add(line)
		}
	}
}

// example returns how a plan shows a value: of an object or list, only what it is.
func example(text string, value json.RawMessage) string {
	if len(value) > 0 && value[0] == '{' {
		return "{…}"
	}
	if len(value) > 0 && value[0] == '[' {
		return "[…]"
	}
	if text[0] == '{' {
		return "{…}"
	}
	const enough = 100 // bytes
	return visible(strings.ToValidUTF8(text[:min(len(text), enough)], ""))
}

// visible returns a text without what a terminal would act on.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if isInvisible(r) {
			return ' '
		}
		return r
	}, text)
}

// isPhone reports whether a number begins with + and was not made a decimal by a
// spreadsheet.
func isPhone(number string) bool {
	isDecimal := strings.HasSuffix(number, ".0") || shortened.MatchString(number)
	return strings.HasPrefix(number, "+") && !isDecimal
}

// isDate accepts what OpenID Connect does: YYYY-MM-DD, with 0000 for no year, or YYYY.
func isDate(date string) bool {
	_, err := time.Parse(time.DateOnly, date)
	if err != nil {
		_, err = time.Parse("2006", date)
	}
	return err == nil
}
