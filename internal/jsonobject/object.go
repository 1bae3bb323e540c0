// Package jsonobject reads and writes JSON objects of which only some members
// are known, and loses nothing on the way: what has no field, and what does not
// fit its field, is kept as it was.
package jsonobject

// Value is where one known member of an object lives.
type Value interface {
	// IsZero reports whether there is nothing to write.
	IsZero() bool
	WriteJSON(w *Writer)
	// ReadJSON reads a value; false if it does not fit.
	ReadJSON(r *Reader) bool
	// Clear makes the value zero.
	Clear()
}

// Visitor is shown what an object is made of: Extra first, then its fields in
// the order in which they are written.
type Visitor interface {
	// Extra shows the place of the members without a field.
	Extra(place *map[string]any)
	// Field shows the place of a known member.
	Field(key string, value Value)
}

// Object appends the object that visit shows: its fields that are not zero, then
// Extra, sorted. A key that is in both is an error.
func (w *Writer) Object(visit func(Visitor)) {
	if !w.enter('{') {
		return
	}
	outer := w.extra
	visit((*objectWriter)(w))
	if w.err == nil {
		writeMembers(w, w.extra, w.Any)
		w.In("Extra")
	}
	w.extra = outer
	w.leave('}')
}

// objectWriter is a Writer as a Visitor.
type objectWriter Writer

func (o *objectWriter) Extra(place *map[string]any) { o.extra = *place }

func (o *objectWriter) Field(key string, value Value) {
	w := (*Writer)(o)
	if value.IsZero() || w.err != nil {
		return
	}
	if _, twice := w.extra[key]; twice {
		w.Fail("is in Extra as well as in its own field: delete it from one of the two")
	} else {
		w.Key(key)
		value.WriteJSON(w)
	}
	w.In(key)
}

// member is where in an object a Reader is.
type member struct {
	key   string
	more  bool // false behind the last member
	fits  bool // whether all keys were Go text
	extra *map[string]any
}

// Object reads an object into what visit shows, which has to be zero. It is
// false if something else comes next, or if a key is no Go text.
//
// A round of visit takes all members that come in the order of the fields, as
// they do in what Object has written. Those of another order take more rounds.
func (r *Reader) Object(visit func(Visitor)) bool {
	if !r.BeginObject() {
		return false
	}
	outer := r.member
	r.fits = true
	r.nextMember()
	for r.more {
		start := r.pos
		if visit((*objectReader)(r)); r.more && r.pos == start {
			setExtra(r.extra, r.key, r.Member())
			r.nextMember()
		}
	}
	fits := r.fits
	r.member = outer
	return fits && r.err == nil
}

// objectReader is a Reader as a Visitor. It is a type of its own so that a
// program that only writes has nothing linked that reads.
type objectReader Reader

func (o *objectReader) Extra(place *map[string]any) { o.extra = place }

func (o *objectReader) Field(key string, value Value) {
	for o.more && o.key == key {
		(*Reader)(o).readField(value)
		(*Reader)(o).nextMember()
	}
}

func (r *Reader) readField(value Value) {
	if !value.IsZero() {
		value.Clear() // of an earlier duplicate
	}
	start := r.place
	if value.ReadJSON(r) {
		delete(*r.extra, r.key) // of an earlier duplicate that did not fit
		return
	}
	if r.err == nil {
		r.place = start
		value.Clear()
		setExtra(r.extra, r.key, r.Member())
	}
}

func (r *Reader) nextMember() {
	var fits bool
	r.key, fits, r.more = r.NextMember()
	r.fits = r.fits && (fits || !r.more)
}

func setExtra(extra *map[string]any, key string, value any) {
	if *extra == nil {
		*extra = map[string]any{}
	}
	(*extra)[key] = value
}
