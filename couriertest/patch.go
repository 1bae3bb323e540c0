package couriertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON Patch (RFC 6902) on parsed values.
//
// evanphx/json-patch v5.9.11 cannot be used: it mishandles unpaired surrogates and
// what TestPatchDiffersFromLibrary lists.

// patchOp is one operation of a patch. from and value are set where the operation
// has them.
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
	op.name, _ = stringOf(members["op"])
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

// applyPatch applies the operations to a parsed value, which it changes, and returns
// the result. After an error the value may be half changed.
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
		if value, err = parse(format(value)); err != nil {
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

// update replaces the value at path with what change returns for it.
func update(doc any, path pointer, change func(any) (any, error)) (any, error) {
	if len(path) == 0 {
		return change(doc)
	}
	switch container := doc.(type) {
	case map[string]any:
		member, ok := container[path[0]]
		if !ok {
			return nil, errNoTarget
		}
		changed, err := update(member, path[1:], change)
		container[path[0]] = changed
		return container, err
	case []any:
		i, err := index(path[0], len(container)-1)
		if err != nil {
			return nil, err
		}
		container[i], err = update(container[i], path[1:], change)
		return container, err
	default:
		return nil, errNoTarget
	}
}

func find(doc any, path pointer) (found any, err error) {
	_, err = update(doc, path, func(value any) (any, error) {
		found = value
		return value, nil
	})
	return found, err
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
			container[token] = value
			return container, nil
		case []any:
			if token == "-" {
				return append(container, value), nil
			}
			i, err := index(token, len(container))
			if err != nil {
				return nil, err
			}
			return slices.Insert(container, i, value), nil
		default:
			return nil, errNoTarget
		}
	})
}

func remove(doc any, path pointer) (any, error) {
	if len(path) == 0 {
		return jsontext.Value("null"), nil
	}
	parent, token := path[:len(path)-1], path[len(path)-1]
	return update(doc, parent, func(container any) (any, error) {
		switch container := container.(type) {
		case map[string]any:
			if _, ok := container[token]; !ok {
				return nil, errNoTarget
			}
			delete(container, token)
			return container, nil
		case []any:
			i, err := index(token, len(container)-1)
			if err != nil {
				return nil, err
			}
			return slices.Delete(container, i, i+1), nil
		default:
			return nil, errNoTarget
		}
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

// pointer is a JSON Pointer (RFC 6901), one token per level. Tokens are canonical
// names, which escape neither / nor ~.
type pointer []string

func parsePointer(members map[string]any, name string) (pointer, error) {
	quoted, ok := members[name].(jsontext.Value)
	if !ok || quoted.Kind() != '"' {
		return nil, fmt.Errorf("%s must be a string", name)
	}
	text := canonical(quoted)
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

// equal compares as RFC 6902, section 4.6, does: objects in any order, numbers by
// value, strings by their characters.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	}
	x, _ := a.(jsontext.Value)
	y, ok := b.(jsontext.Value)
	switch {
	case !ok || x.Kind() != y.Kind():
		return false
	case x.Kind() == '"':
		return canonical(x) == canonical(y)
	case x.Kind() == '0':
		return canonicalNumber(x) == canonicalNumber(y)
	default:
		return bytes.Equal(x, y)
	}
}

// canonicalNumber spells numbers of the same value alike: the digits without zeros
// at either end, and an exponent. big.Rat would expand 1e1000000000 to all its digits.
func canonicalNumber(number jsontext.Value) string {
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
