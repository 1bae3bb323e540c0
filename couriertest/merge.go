package couriertest

// merge applies a JSON Merge Patch (RFC 7396, section 2) to a parsed value, which it
// may change, and returns the result.
//
// evanphx/json-patch v5.9.11 cannot be used: it removes nulls from arrays, and
// loses unpaired surrogates.
func merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = make(map[string]any, len(members))
	}
	for name, value := range members {
		if isNull(value) {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}
