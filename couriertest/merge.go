package couriertest

// merge applies a JSON Merge Patch to a decoded JSON value, which it may
// change, and returns the result. It is the algorithm of RFC 7396, section 2:
// objects merge member by member, null removes a member, anything else,
// arrays included, replaces what was there.
//
// It is written out here because MergePatch of evanphx/json-patch v5.9.11
// removes nulls from objects inside arrays, which the RFC keeps as they are,
// and writes <, > and & as \u escapes.
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
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], value)
	}
	return object
}
