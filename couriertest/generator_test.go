package couriertest

import (
	"fmt"
	"strings"
)

// generator makes JSON of a fuzzer's bytes. When they have run out it makes the
// shortest values.
type generator struct {
	bytes []byte
	nulls bool // whether members of objects may be null
}

// next returns a number below n.
func (g *generator) next(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b) % n
}

func (g *generator) object(depth int) string {
	var members []string
	names := []string{"a", "b", "0", "x/y", "m~n", "é"}
	for len(names) > 0 && g.next(4) > 0 {
		i := g.next(len(names))
		value := "null"
		if !g.nulls || g.next(4) > 0 {
			value = g.value(depth - 1)
		}
		members = append(members, fmt.Sprintf(`%q:%s`, names[i], value))
		names = append(names[:i], names[i+1:]...)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// value makes any value but null. Objects in arrays have no nulls either.
func (g *generator) value(depth int) string {
	switch kind := g.next(6); {
	case kind == 4 && depth > 0:
		return g.object(depth)
	case kind == 5 && depth > 0:
		var elements []string
		inner := generator{bytes: g.bytes}
		for inner.next(4) > 0 {
			elements = append(elements, inner.value(depth-1))
		}
		g.bytes = inner.bytes
		return "[" + strings.Join(elements, ",") + "]"
	default:
		return []string{"0", "1", "true", `"text é"`}[kind%4]
	}
}
