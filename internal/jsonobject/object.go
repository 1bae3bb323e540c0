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

// Member names a known member of a T and finds its place.
type Member[T any] struct {
	Key string
	Of  func(*T) Value
}

// Object is how a T is read and written: its known members, in the order in
// which they are written, and the place for all others.
type Object[T any] struct {
	Members []Member[T]
	Extra   func(*T) *map[string]any
}

// Write appends v as an object: the known members that are not zero, then the
// others, sorted. A key that is in both is an error.
func (o *Object[T]) Write(w *Writer, v *T) {
	if !w.enter('{') {
		return
	}
	extra := *o.Extra(v)
	for i := range o.Members {
		member := &o.Members[i]
		value := member.Of(v)
		if value.IsZero() {
			continue
		}
		if _, twice := extra[member.Key]; twice {
			w.Fail("is in Extra as well as in its own field: delete it from one of the two")
		} else {
			w.Key(member.Key)
			value.WriteJSON(w)
		}
		if w.err != nil {
			w.In(member.Key)
			return
		}
	}
	if writeMembers(w, extra, w.Any); w.err != nil {
		w.In("Extra")
		return
	}
	w.leave('}')
}

// Read reads an object into v, which has to be zero. It is false if something
// else comes next, or if a key is no Go text.
func (o *Object[T]) Read(r *Reader, v *T) bool {
	if !r.BeginObject() {
		return false
	}
	extra := o.Extra(v)
	ok := true
	for hint := 0; ; {
		key, fits, more := r.NextMember()
		if !more {
			return ok && r.err == nil
		}
		ok = ok && fits
		i := o.find(key, hint)
		if i < 0 {
			setExtra(extra, key, r.Member())
			continue
		}
		hint = i + 1
		value := o.Members[i].Of(v)
		value.Clear()
		start := *r
		if value.ReadJSON(r) {
			delete(*extra, key) // of an earlier duplicate that did not fit
			continue
		}
		if r.err == nil {
			*r = start
			value.Clear()
			setExtra(extra, key, r.Member())
		}
	}
}

// find returns the index of the member with that key, or -1. It starts at hint
// and goes round, because most documents have their keys in an order of their
// own and keep to it.
func (o *Object[T]) find(key string, hint int) int {
	for i := hint; i < len(o.Members); i++ {
		if o.Members[i].Key == key {
			return i
		}
	}
	for i := range min(hint, len(o.Members)) {
		if o.Members[i].Key == key {
			return i
		}
	}
	return -1
}

func setExtra(extra *map[string]any, key string, value any) {
	if *extra == nil {
		*extra = map[string]any{}
	}
	(*extra)[key] = value
}
