package courier

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// PatchOp is one operation of a JSON Patch (RFC 6902, section 4) for
// [ProfilesService.Patch]. Create it with PatchAdd, PatchRemove, PatchReplace,
// PatchMove, PatchCopy, or PatchTest.
//
// Paths are JSON Pointers (RFC 6901) into the profile, such as "/email" or
// "/custom/plan"; [JSONPointer] builds one from keys. Values can be anything that
// encoding/json can write, nil included.
type PatchOp struct {
	op    string
	path  string
	from  string
	value any
}

// PatchAdd sets the member at path, which need not exist, or inserts into an array:
// before an index, or at the end for "-" (RFC 6902, section 4.1).
func PatchAdd(path string, value any) PatchOp {
	return PatchOp{op: "add", path: path, value: value}
}

// PatchRemove removes the value at path, which must exist (section 4.2).
func PatchRemove(path string) PatchOp { return PatchOp{op: "remove", path: path} }

// PatchReplace replaces the value at path, which must exist (section 4.3).
func PatchReplace(path string, value any) PatchOp {
	return PatchOp{op: "replace", path: path, value: value}
}

// PatchMove removes the value at from and adds it at path (section 4.4).
func PatchMove(from, path string) PatchOp { return PatchOp{op: "move", from: from, path: path} }

// PatchCopy copies the value at from to path (section 4.5).
func PatchCopy(from, path string) PatchOp { return PatchOp{op: "copy", from: from, path: path} }

// PatchTest makes Courier reject the whole patch unless value is at path (section 4.6).
func PatchTest(path string, value any) PatchOp {
	return PatchOp{op: "test", path: path, value: value}
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// JSONPointer builds a JSON Pointer (RFC 6901) from tokens, which are keys or array
// indexes: JSONPointer("custom", "a/b") is "/custom/a~1b", and JSONPointer() is "",
// the whole profile.
func JSONPointer(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(pointerEscaper.Replace(token))
	}
	return b.String()
}

// MarshalJSON writes the operation as Courier expects it. The error wraps a
// [*ValidationError].
func (o PatchOp) MarshalJSON() ([]byte, error) { return encode(&o) }

// MarshalJSONTo is [PatchOp.MarshalJSON] for encoding/json/v2.
func (o PatchOp) MarshalJSONTo(enc *jsontext.Encoder) error {
	if reason := o.problem(); reason != "" {
		return invalid("", reason)
	}
	body := struct {
		Op    string  `json:"op"`
		From  *string `json:"from,omitzero"`
		Path  string  `json:"path"`
		Value any     `json:"value"`
	}{Op: o.op, Path: o.path, Value: o.value}
	// Courier's OpenAPI document requires a value in every operation. RFC 6902, section 4,
	// has the members that an operation does not define ignored.
	switch o.op {
	case "move", "copy":
		body.From, body.Value = &o.from, ""
	case "remove":
		body.Value = ""
	}
	return encodeTo(enc, &body)
}

// problem says what is wrong with the operation, or is empty.
func (o PatchOp) problem() string {
	switch {
	case o.op == "":
		return "is empty: create it with PatchAdd, PatchRemove, PatchReplace, PatchMove, " +
			"PatchCopy, or PatchTest"
	case !isPointer(o.path) || !isPointer(o.from):
		return "has a path that is not a JSON Pointer: build it with JSONPointer"
	case o.op == "move" && strings.HasPrefix(o.path, o.from+"/"):
		return "moves a value into itself"
	}
	return ""
}

func isPointer(pointer string) bool {
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(pointer)
	return (pointer == "" || pointer[0] == '/') && !strings.Contains(rest, "~")
}

// patchBody is the body of a patch.
type patchBody struct {
	Patch []PatchOp `json:"patch"`
}
