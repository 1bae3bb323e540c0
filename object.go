package courier

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// object is a struct that is an object in JSON. Its method visit is the one place
// that knows the keys.
type object interface{ visit(jsonobject.Visitor) }

// codec is a Field in the eyes of jsonobject. It is a type of its own so that
// Field keeps only the methods that its users need.
type codec[T any] Field[T]

func (c *codec[T]) IsZero() bool { return c.state == stateNotThere }

func (c *codec[T]) Clear() { *c = codec[T]{} }

func (c *codec[T]) WriteJSON(w *jsonobject.Writer) {
	if c.state != stateValue {
		w.Raw("null")
		return
	}
	writeJSON(w, &c.value)
}

func (c *codec[T]) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		c.state = stateNull
		return true
	}
	c.state = stateValue
	return readJSON(r, &c.value)
}

// writeJSON appends what place points to.
func writeJSON(w *jsonobject.Writer, place any) {
	switch v := place.(type) {
	case *string:
		w.String(*v)
	case *bool:
		w.Bool(*v)
	case *map[string]any:
		jsonobject.Map(w, *v, w.Any)
	case *[]string:
		jsonobject.List(w, *v, w.String)
	case *map[string]string:
		jsonobject.Map(w, *v, w.String)
	case object:
		w.Object(v.visit)
	case interface{ writeJSON(*jsonobject.Writer) }:
		v.writeJSON(w)
	case jsonobject.Value:
		v.WriteJSON(w)
	default:
		w.Any(reflect.ValueOf(place).Elem().Interface())
	}
}

// readJSON reads into what place points to, which has to be zero; it is false
// for what does not fit.
func readJSON(r *jsonobject.Reader, place any) (ok bool) {
	switch v := place.(type) {
	case *string:
		*v, ok = r.String()
		return ok
	case *bool:
		*v, ok = r.Bool()
		return ok
	case *[]string:
		*v, ok = readList(r, (*jsonobject.Reader).String)
		return ok
	case *map[string]string:
		var members map[string]any
		ok = readAny(r, &members)
		*v = make(map[string]string, len(members))
		for key, value := range members {
			text, isText := value.(string)
			ok = ok && isText
			(*v)[key] = text
		}
		return ok
	case *map[string]any:
		return readAny(r, v)
	case *[]any:
		return readAny(r, v)
	case *any:
		return readAny(r, v)
	case object:
		return r.Object(v.visit)
	case *Tokens:
		return v.readJSON(r)
	case jsonobject.Value:
		return v.ReadJSON(r)
	default: // whatever T a caller chose
		start := *r
		if _, ok := r.Any(); !ok {
			return false
		}
		return decodeAny(start.Raw(), v)
	}
}

// readAny reads one of the types that Any of a Reader gives.
func readAny[T any](r *jsonobject.Reader, place *T) bool {
	value, ok := r.Any()
	typed, fits := value.(T)
	*place = typed
	return ok && fits
}

// decodeAny reads text into v as encoding/json does, but for numbers of no type.
func decodeAny(text string, v any) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(v) == nil
}

// readList reads an array of what read reads; ok is false if anything does not
// fit.
func readList[T any](r *jsonobject.Reader, read func(*jsonobject.Reader) (T, bool)) (list []T, ok bool) {
	if !r.BeginArray() {
		return nil, false
	}
	list = []T{}
	for r.NextElement() {
		element, fits := read(r)
		if !fits {
			return nil, false
		}
		list = append(list, element)
	}
	return list, r.Err() == nil
}

// marshal returns what place points to as JSON.
func marshal(place any) ([]byte, error) {
	var w jsonobject.Writer
	writeJSON(&w, place)
	if err := w.Err(); err != nil {
		return nil, validationError(err)
	}
	return w.Bytes(), nil
}

// marshalField takes a Field apart: a pointer to the Field, made in a method of
// its own, would have the linker keep a second description of every T.
func marshalField(state fieldState, value any) ([]byte, error) {
	if state != stateValue || value == nil {
		return []byte("null"), nil
	}
	place := reflect.New(reflect.TypeOf(value))
	place.Elem().Set(reflect.ValueOf(value))
	return marshal(place.Interface())
}

// unmarshal replaces what place points to by what text holds. As encoding/json
// has it for an Unmarshaler, null changes nothing unless it can be read.
func unmarshal(text []byte, place any) error {
	old := reflect.ValueOf(place).Elem()
	fresh := reflect.New(old.Type())
	r := jsonobject.NewReader(string(text))
	if readJSON(&r, fresh.Interface()) && r.AtEnd() {
		old.Set(fresh.Elem())
		return nil
	}
	if again := jsonobject.NewReader(string(text)); again.Null() && again.AtEnd() {
		return nil
	}
	return fmt.Errorf("courier: %w", readError(&r))
}

var errShape = errors.New("the JSON is not of that shape, or has a key that is no Unicode text")

// readError returns why a read from r was not what was wanted.
func readError(r *jsonobject.Reader) error {
	if err := r.Err(); err != nil {
		return err
	}
	return errShape
}
