package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// printer prints a plan.
type printer struct {
	w       io.Writer
	width   int
	command *command
	otherID []string // flags that use another column as the user ID
}

func newPrinter(w io.Writer, cmd *command) *printer {
	const widest = 120 // beyond that a table is hard to read
	return &printer{w: w, width: min(job.Width(w), widest), command: cmd}
}

// plan prints where each column goes, and what the check has found.
func (pr *printer) plan(in *input, p *plan, s *survey) {
	kind := form(p.reader)
	if hasReasons(p.reader) {
		kind += ", a file of rejects"
	}
	pr.line("%s: %s, %s", in.name, kind, job.Plural(s.records, "record", "records"))
	pr.line("")
	pr.columns(p, s)
	pr.notSent(p, s)
	pr.rejected(s)
	pr.suspicious(p, s)
}

// form says how an input is understood.
func form(r reader) string {
	switch r := r.(type) {
	case *csvReader:
		comma := map[byte]string{',': "commas", ';': "semicolons", '\t': "tabs", '|': "bars"}
		name, ok := comma[r.comma]
		if !ok {
			name = "a delimiter of its own"
		}
		return fmt.Sprintf("CSV with %s, %s", name, r.text.encoding)
	case *jsonReader:
		return "JSON, " + r.text.encoding
	}
	return ""
}

func (pr *printer) line(format string, args ...any) {
	fmt.Fprintln(pr.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// text prints a text, in lines that begin with indent.
func (pr *printer) text(indent, text string) {
	line := indent
	for _, word := range strings.Fields(visible(text)) {
		room := pr.width - uniseg.StringWidth(line) - uniseg.StringWidth(word) - 1
		if line != indent && room < 0 {
			pr.line("%s", line)
			line = strings.Repeat(" ", len(indent))
		}
		if strings.TrimSpace(line) != "" && !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += word
	}
	pr.line("%s", line)
}

// row prints a row of the table: a name, where it goes, a number and an example.
func (pr *printer) row(cells ...string) {
	rest := pr.width - 2 - 2 - 2 - 9 - 2
	first, second := rest*3/8, rest*3/8
	widths := []int{first, second, 9, rest - first - second}
	var b strings.Builder
	for i, cell := range cells {
		b.WriteString("  ")
		cut := fitWidth(visible(cell), widths[i])
		space := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cut))
		if i == 2 {
			b.WriteString(space + cut)
		} else {
			b.WriteString(cut + space)
		}
	}
	pr.line("%s", b.String())
}

// fitWidth cuts a text to that many columns of a terminal.
func fitWidth(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if used += g.Width(); used > width-1 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

func (pr *printer) columns(p *plan, s *survey) {
	pr.row("from", "goes to", "records", "example")
	var empty []string
	for i, c := range p.columns {
		target := strings.Join(c.target, ".")
		switch {
		case i == p.id:
			to := "the user ID"
			if target != "" {
				to += " and " + target
			}
			pr.row(c.text, to, job.Number(c.survey.filled), c.example())
		case c.target == nil:
		case c.survey.filled == 0:
			empty = append(empty, c.text)
		default:
			if c.asJSON {
				target += ", as JSON"
			}
			pr.row(c.text, target, job.Number(c.survey.filled), c.example())
		}
	}
	if len(empty) > 0 {
		pr.text("  ", "No values: "+strings.Join(empty, ", ")+".")
	}
	users := int64(len(s.users))
	text := fmt.Sprintf("%s of %s.", job.Plural(s.good, "record", "records"),
		job.Plural(users, "user", "different users"))
	if p.emptyNull {
		text += " Empty values remove members of their profiles (-empty=null)."
	}
	if s.good > 0 {
		pr.line("")
		pr.text("Will be sent: ", text)
	}
}

// example returns an example of the values.
func (c *column) example() string { return c.hide(c.survey.example) }

// hide returns a value, unless it may be a credential.
func (c *column) hide(value string) string {
	if value != "" && isSensitive(c.text) {
		return "(hidden)"
	}
	return value
}

// isSensitive reports whether values of that name should not be shown.
func isSensitive(name string) bool {
	return isSecret(name) || slices.ContainsFunc(splitWords(name), func(word string) bool {
		return slices.Contains([]string{"key", "webhook", "authorization", "credential",
			"credentials", "arn", "psid"}, word)
	})
}

func (pr *printer) notSent(p *plan, s *survey) {
	isFirst, canRest := true, false
	taken := map[string]bool{}
	for target := range p.targets {
		taken[target] = true
	}
	contacts := p.contacts()
	looksLike := map[*column]string{}
	for _, c := range contacts {
		looksLike[c.column], taken[c.member] = c.member, true
	}
	for i, c := range p.columns {
		isID, member := i == p.id, looksLike[c]
		isUsed := c.survey.filled > 0 || p.emptyNull
		if c.target != nil || isID && member == "" || !isUsed {
			continue
		}
		if isFirst {
			pr.line("")
			pr.line("Will not be sent:")
			isFirst = false
		}
		why := c.why
		switch {
		case isID:
			why = "only as the user ID"
		case member != "":
			why = "looks like " + member
		case why == "":
			canRest = true
			isList := c.survey.example == "[…]"
			if close := known().suggest(c.text, taken); close != "" && !isList {
				why = "-column " + job.Quote(c.text+"="+close)
			}
		}
		name := c.text
		if name == "" {
			name = fmt.Sprintf("(column %d)", i+1)
		}
		pr.pair(name, why, job.Number(c.survey.filled), c.example())
	}
	pr.sendToo(contacts, s)
	if canRest {
		pr.text("  ", "To send one of them, use -column NAME=member. -rest=custom sends all "+
			"into custom, and -rest sends them under their own names.")
	}
}

// sendToo prints the command that sends the contacts too.
func (pr *printer) sendToo(contacts []contact, s *survey) {
	if len(contacts) == 0 {
		return
	}
	var members []string
	for _, c := range contacts {
		members = append(members, c.member)
	}
	flags := contactFlags(contacts)
	if s.byKind[notUTF8.kind] != nil {
		flags = append(flags, "-encoding", "windows-1252")
	}
	pr.text("  ", fmt.Sprintf("To send %s too, type", strings.Join(members, " and ")))
	pr.line("\t%s", pr.command.with(flags...))
}

// pair prints a name and why its values are not sent, or an example of them.
func (pr *printer) pair(name, why, n, example string) {
	if why == "" {
		pr.row(name, "", n, example)
		return
	}
	if uniseg.StringWidth(why) <= (pr.width-17)*3/8 {
		pr.row(name, why, n, example)
		return
	}
	pr.row(name, "", n, example)
	pr.text("    ", why)
}

func (pr *printer) rejected(s *survey) {
	if s.good == s.records {
		return
	}
	const most = 20 // kinds of problems
	pr.line("")
	pr.line("Will be rejected: %s", job.Plural(s.records-s.good, "record", "records"))
	slices.SortStableFunc(s.problems, func(a, b *problemCount) int { return int(b.n - a.n) })
	for i, c := range s.problems {
		if i == most {
			pr.text("  ", fmt.Sprintf("and %d other reasons", len(s.problems)-most))
			break
		}
		text := c.kind + ": " + linesText(c)
		if c.advice != "" {
			text += "; " + c.advice
		}
		pr.text(fmt.Sprintf("%9s  ", job.Number(c.n)), text)
	}
}

func linesText(c *problemCount) string {
	var list []string
	for _, line := range c.lines {
		list = append(list, fmt.Sprint(line))
	}
	word := "lines "
	if c.n == 1 {
		word = "line "
	}
	text := word + strings.Join(list, ", ")
	if more := c.n - int64(len(list)); more > 0 {
		text += " and " + job.Number(more) + " more"
	}
	return text
}

// suspicious prints what is sent although it looks wrong.
func (pr *printer) suspicious(p *plan, s *survey) {
	var found []string
	add := func(n int64, one, many string) {
		if n > 0 {
			found = append(found, job.Plural(n, one, many))
		}
	}
	if s.good > 0 && p.reachesNobody() {
		found = append(found, "nobody will be reachable through these records: none has an "+
			"email, phone_number, push token or other channel. Name the column that has one, "+
			"such as -column NAME=email")
	}
	if s.most > 1 {
		text := fmt.Sprintf("%s share the ID %s", job.Plural(int64(s.most), "record", "records"),
			fitWidth(p.columns[p.id].hide(example(s.mostID, nil)), 40))
		if s.repeated > 1 {
			text += fmt.Sprintf(", and %s more than one record too",
				job.Plural(s.repeated-1, "other user has", "other users have"))
		}
		text += ": if they are different people, use another -id"
		if pr.otherID != nil {
			text += ", such as\n\t" + pr.command.with(pr.otherID...)
		}
		found = append(found, text)
	}
	add(s.ids.n, "user ID ends in .0", "user IDs end in .0")
	for _, c := range p.columns {
		if c.target == nil {
			continue
		}
		for _, text := range slices.Sorted(maps.Keys(c.survey.nulls)) {
			way := "use -null " + job.Quote(text) + " if that means no value"
			if c.update {
				way = "the profile is sent as it is"
			}
			found = append(found, fmt.Sprintf("%s is %s in %s: %s", c.text, text,
				job.Plural(c.survey.nulls[text], "record", "records"), way))
		}
	}
	first := func(x suspect) string { return fmt.Sprintf(", the first in line %d", x.line) }
	for _, x := range []struct {
		suspect
		one, many string
	}{
		{s.phones, "phone number without a +, or with .0 or an exponent",
			"phone numbers without a +, or with .0 or an exponent"},
		{s.birthdates, "birthdate that is not YYYY-MM-DD", "birthdates that are not YYYY-MM-DD"},
		{s.emails, "email address without exactly one @, with < or >, or in a list",
			"email addresses without exactly one @, with < or >, or in a list"},
	} {
		add(x.n, x.one+first(x.suspect), x.many+first(x.suspect))
	}
	if len(found) == 0 {
		return
	}
	pr.line("")
	pr.line("Looks wrong, and will be sent all the same:")
	for _, text := range found {
		text, command, _ := strings.Cut(text, "\n")
		pr.text("  - ", text)
		if command != "" {
			pr.line("%s", command)
		}
	}
}
