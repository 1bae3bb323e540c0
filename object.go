package courier

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// object is a value that knows its own JSON: the profile, the objects in it,
// and what Courier answers.
type object interface {
	writeJSON(w *jsonobject.Writer)
	readJSON(r *jsonobject.Reader) bool
}

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
	switch v := any(&c.value).(type) {
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
		v.writeJSON(w)
	default:
		w.Any(c.value)
	}
}

func (c *codec[T]) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		c.state = stateNull
		return true
	}
	c.state = stateValue
	switch v := any(&c.value).(type) {
	case *string:
		text, ok := r.String()
		*v = text
		return ok
	case *bool:
		value, ok := r.Bool()
		*v = value
		return ok
	case *[]string:
		list, ok := readList(r, (*jsonobject.Reader).String)
		*v = list
		return ok
	case *map[string]string:
		value, ok := r.Any()
		members, isObject := value.(map[string]any)
		*v = make(map[string]string, len(members))
		for key, value := range members {
			text, isText := value.(string)
			ok = ok && isText
			(*v)[key] = text
		}
		return ok && isObject
	case object:
		return v.readJSON(r)
	default:
		// map[string]any, and whatever T a caller chose.
		start := *r
		value, ok := r.Any()
		if !ok {
			return false
		}
		typed, ok := value.(T)
		c.value = typed
		return ok || decodeAny(start.Raw(), v)
	}
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

func marshal(write func(*jsonobject.Writer)) ([]byte, error) {
	var w jsonobject.Writer
	write(&w)
	if err := w.Err(); err != nil {
		return nil, validationError(err)
	}
	return w.Bytes(), nil
}

// unmarshal replaces *v by what read makes of text. As encoding/json has it for
// an Unmarshaler, null changes nothing unless read takes it.
func unmarshal[T any](text []byte, v *T, read func(*T, *jsonobject.Reader) bool) error {
	var fresh T
	r := jsonobject.NewReader(string(text))
	if read(&fresh, &r) && r.AtEnd() {
		*v = fresh
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
