package courier

import (
	"fmt"
	"strings"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// PatchOp is one operation of a JSON Patch (RFC 6902, section 4), for
// [ProfilesService.Patch]. Make it with PatchAdd, PatchRemove, PatchReplace,
// PatchMove, PatchCopy or PatchTest.
//
// Paths are JSON Pointers (RFC 6901) into the profile, such as "/email" or
// "/custom/plan"; [Pointer] makes one of any keys. Values are any that
// encoding/json can write, nil included.
type PatchOp struct {
	op    string
	path  string
	from  string
	value any
}

// PatchAdd sets the member at path, which need not exist, or inserts into an
// array: before an index, or at the end for "-" (RFC 6902, section 4.1).
func PatchAdd(path string, value any) PatchOp { return PatchOp{op: "add", path: path, value: value} }

// PatchRemove removes what is at path, which has to exist (section 4.2).
func PatchRemove(path string) PatchOp { return PatchOp{op: "remove", path: path} }

// PatchReplace replaces what is at path, which has to exist (section 4.3).
func PatchReplace(path string, value any) PatchOp {
	return PatchOp{op: "replace", path: path, value: value}
}

// PatchMove removes what is at from and adds it at path (section 4.4).
func PatchMove(from, path string) PatchOp { return PatchOp{op: "move", from: from, path: path} }

// PatchCopy adds what is at from at path as well (section 4.5).
func PatchCopy(from, path string) PatchOp { return PatchOp{op: "copy", from: from, path: path} }

// PatchTest has the whole patch refused unless value is at path (section 4.6).
func PatchTest(path string, value any) PatchOp { return PatchOp{op: "test", path: path, value: value} }

// Pointer returns the JSON Pointer (RFC 6901) to the member that the tokens, keys
// or array indexes, lead to: Pointer("custom", "a/b") is "/custom/a~1b", and
// Pointer() is "", the whole profile.
func Pointer(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

func writePatch(w *jsonobject.Writer, ops []PatchOp) {
	w.Raw(`{"patch":`)
	i := 0
	jsonobject.List(w, ops, func(op PatchOp) {
		op.writeJSON(w)
		w.In(fmt.Sprintf("ops[%d]", i))
		i++
	})
	w.Raw(`}`)
}

func (o *PatchOp) writeJSON(w *jsonobject.Writer) {
	if o.op == "" {
		w.Fail("is empty: make it with PatchAdd, PatchRemove, PatchReplace, PatchMove, PatchCopy or PatchTest")
		return
	}
	w.Raw(`{"op":"` + o.op + `"`)
	if o.op == "move" || o.op == "copy" {
		writePointer(w, "from", o.from)
	}
	writePointer(w, "path", o.path)
	if o.op == "move" && strings.HasPrefix(o.path, o.from+"/") {
		w.Fail("moves a value into itself")
	}
	if o.op == "add" || o.op == "replace" || o.op == "test" {
		w.Key("value")
		w.Any(o.value)
	}
	w.Raw("}")
}

// MarshalJSON writes the operation as Courier takes it.
func (o PatchOp) MarshalJSON() ([]byte, error) { return marshal(&o) }

func writePointer(w *jsonobject.Writer, key, pointer string) {
	w.Key(key)
	w.String(pointer)
	if pointer != "" && pointer[0] != '/' {
		w.Fail("has a " + key + " that does not begin with a slash: use Pointer to make one of keys")
	}
	if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(pointer), "~") {
		w.Fail("has a " + key + " with a ~ that is not part of ~0 or ~1: use Pointer to make one of keys")
	}
}
