package couriertest

import "maps"

// merge applies a JSON Merge Patch (RFC 7396, section 2) and returns the result, which
// may share memory with target and patch. Neither changes.
//
// evanphx/json-patch v5.9.11 cannot be used: it removes nulls from arrays.
func merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	merged := maps.Clone(object)
	for name, value := range members {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], value)
		}
	}
	return merged
}
