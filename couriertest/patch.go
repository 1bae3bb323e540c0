package couriertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// JSON Patch (RFC 6902) on parsed values.
//
// evanphx/json-patch v5.9.11 cannot be used: TestPatchDiffersFromLibrary lists what it
// does differently.

// patchOp is one operation of a patch. from and value are set where RFC 6902 requires
// them. Anywhere else they are ignored, as Courier's own SDKs always send a value.
type patchOp struct {
	name       string
	path, from pointer
	value      any
}

func parsePatch(patch any) ([]patchOp, error) {
	elements, ok := patch.([]any)
	if !ok {
		return nil, errors.New("patch must be an array")
	}
	ops := make([]patchOp, len(elements))
	for i, element := range elements {
		op, err := parsePatchOp(element)
		if err != nil {
			return nil, fmt.Errorf("patch[%d]: %w", i, err)
		}
		ops[i] = op
	}
	return ops, nil
}

func parsePatchOp(element any) (op patchOp, err error) {
	members, ok := element.(map[string]any)
	if !ok {
		return op, errors.New("must be an object")
	}
	op.name, _ = members["op"].(string)
	if op.path, err = parsePointer(members, "path"); err != nil {
		return op, err
	}
	switch op.name {
	case "add", "replace", "test":
		if op.value, ok = members["value"]; !ok {
			return op, errors.New("value is required")
		}
	case "move", "copy":
		op.from, err = parsePointer(members, "from")
	case "remove":
	default:
		err = errors.New("op must be add, remove, replace, move, copy or test")
	}
	return op, err
}

// applyPatch returns what the operations make of a value. The result may share memory
// with the value and with the operations, and neither changes.
func applyPatch(doc any, ops []patchOp) (any, error) {
	for i, op := range ops {
		var err error
		if doc, err = op.apply(doc); err != nil {
			return nil, fmt.Errorf("patch[%d]: %s: %w", i, op.name, err)
		}
	}
	return doc, nil
}

func (op patchOp) apply(doc any) (any, error) {
	switch op.name {
	case "add":
		return add(doc, op.path, op.value)
	case "remove":
		return remove(doc, op.path)
	case "replace":
		return update(doc, op.path, func(any) (any, error) { return op.value, nil })
	case "move":
		if len(op.path) > len(op.from) && slices.Equal(op.path[:len(op.from)], op.from) {
			return nil, errors.New("a value cannot be moved into itself")
		}
		value, err := find(doc, op.from)
		if err != nil {
			return nil, err
		}
		if doc, err = remove(doc, op.from); err != nil {
			return nil, err
		}
		return add(doc, op.path, value)
	case "copy":
		value, err := find(doc, op.from)
		if err != nil {
			return nil, err
		}
		return add(doc, op.path, value)
	default:
		value, err := find(doc, op.path)
		if err == nil && !equal(value, op.value) {
			err = errors.New("the value differs")
		}
		return doc, err
	}
}

// find returns the value at path.
func find(doc any, path pointer) (any, error) {
	for _, token := range path {
		var err error
		if doc, err = child(doc, token); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// child returns a member of an object or an element of an array.
func child(container any, token string) (any, error) {
	switch container := container.(type) {
	case map[string]any:
		if member, ok := container[token]; ok {
			return member, nil
		}
	case []any:
		i, err := index(token, len(container)-1)
		if err == nil {
			return container[i], nil
		}
	}
	return nil, errNoTarget
}

// update returns doc with what change returns for the value at path.
func update(doc any, path pointer, change func(any) (any, error)) (any, error) {
	if len(path) == 0 {
		return change(doc)
	}
	value, err := child(doc, path[0])
	if err != nil {
		return nil, err
	}
	if value, err = update(value, path[1:], change); err != nil {
		return nil, err
	}
	if object, ok := doc.(map[string]any); ok {
		object = maps.Clone(object)
		object[path[0]] = value
		return object, nil
	}
	array := slices.Clone(doc.([]any))
	i, _ := strconv.Atoi(path[0]) // child has accepted it
	array[i] = value
	return array, nil
}

// add inserts a value: as a member, in place of the one of that name, or before an
// element of an array.
func add(doc any, path pointer, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	parent, token := path[:len(path)-1], path[len(path)-1]
	return update(doc, parent, func(container any) (any, error) {
		switch container := container.(type) {
		case map[string]any:
			container = maps.Clone(container)
			container[token] = value
			return container, nil
		case []any:
			i := len(container)
			if token != "-" {
				var err error
				if i, err = index(token, len(container)); err != nil {
					return nil, err
				}
			}
			return slices.Concat(container[:i], []any{value}, container[i:]), nil
		default:
			return nil, errNoTarget
		}
	})
}

func remove(doc any, path pointer) (any, error) {
	if len(path) == 0 {
		return nil, nil // null
	}
	parent, token := path[:len(path)-1], path[len(path)-1]
	return update(doc, parent, func(container any) (any, error) {
		if _, err := child(container, token); err != nil {
			return nil, err
		}
		if object, ok := container.(map[string]any); ok {
			object = maps.Clone(object)
			delete(object, token)
			return object, nil
		}
		i, _ := strconv.Atoi(token) // child has accepted it
		return slices.Delete(slices.Clone(container.([]any)), i, i+1), nil
	})
}

// index reads an array index, which has neither sign nor leading zeros (RFC 6901,
// section 4).
func index(token string, last int) (int, error) {
	i, err := strconv.Atoi(token)
	if err != nil || strconv.Itoa(i) != token || i < 0 || i > last {
		return 0, errNoTarget
	}
	return i, nil
}

var errNoTarget = errors.New("the target does not exist")

// pointer is a JSON Pointer (RFC 6901), one token per level.
type pointer []string

func parsePointer(members map[string]any, name string) (pointer, error) {
	text, ok := members[name].(string)
	if !ok {
		return nil, fmt.Errorf("%s must be a string", name)
	}
	if text == "" {
		return nil, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("%s must be empty or start with /", name)
	}
	tokens := strings.Split(text[1:], "/")
	unescape := strings.NewReplacer("~0", "~", "~1", "/")
	for i, token := range tokens {
		if strings.Count(token, "~") != strings.Count(token, "~0")+strings.Count(token, "~1") {
			return nil, fmt.Errorf("%s has a ~ that is neither ~0 nor ~1", name)
		}
		tokens[i] = unescape.Replace(token)
	}
	return tokens, nil
}

// equal compares as RFC 6902, section 4.6, does: numbers by value.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && canonicalNumber(a) == canonicalNumber(b)
	}
	return a == b
}

// canonicalNumber spells numbers of the same value alike: the digits without zeros
// at either end, and an exponent. big.Rat would expand 1e1000000000 to all its digits.
func canonicalNumber(number json.Number) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(string(number)), "e")
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	power := new(big.Int)
	if exponent != "" {
		power.SetString(exponent, 10)
	}
	power.Add(power, big.NewInt(int64(len(whole)-len(digits))))
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0"
	}
	if negative {
		digits = "-" + digits
	}
	return digits + "e" + power.String()
}
