package couriertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	courier "github.com/courier-profiles/courier-go"
)

// Profile returns a user's profile as a client reads it, and false if there is none.
// It also returns false for a profile that a client cannot read, because one of the
// profile's own keys contains an unpaired surrogate.
func (h *Handler) Profile(userID string) (courier.Profile, bool) {
	text, ok := h.ProfileJSON(userID)
	if !ok {
		return courier.Profile{}, false
	}
	var profile courier.Profile
	if err := profile.UnmarshalJSON(text); err != nil {
		return courier.Profile{}, false
	}
	return profile, true
}

// ProfileJSON returns a user's profile as JSON, and false if there is none. The members
// of objects are in the order of their names, and numbers have the digits that were
// sent.
func (h *Handler) ProfileJSON(userID string) (json.RawMessage, bool) {
	profile, _ := h.store.profile(userID)
	return profileText(profile), profile != nil
}

// profileText returns a profile as JSON, or nil for none.
func profileText(profile map[string]any) json.RawMessage {
	if profile == nil {
		return nil
	}
	return format(profile)
}

// UserIDs returns the IDs of the users who have a profile, sorted.
func (h *Handler) UserIDs() []string {
	return h.store.userIDs()
}

// SetProfile sets a user's profile and replaces any that exists. Null fields are
// stored as null. A profile that cannot be written as JSON is an error, and nothing is
// stored.
func (h *Handler) SetProfile(userID string, profile courier.Profile) error {
	text, err := profile.MarshalJSON()
	if err != nil {
		return err
	}
	object, err := parseObject(text)
	if err != nil {
		return err
	}
	_, err = h.store.updateProfile(userID, func(map[string]any) (map[string]any, error) {
		return object, nil
	})
	return err
}

// Preferences returns the preferences of a user, or nil for none. They exist without a
// profile, too.
func (h *Handler) Preferences(userID string) *courier.Preferences {
	_, preferences := h.store.profile(userID)
	return readPreferences(preferences)
}

// readPreferences returns parsed preferences as a client reads them, or nil for none.
func readPreferences(stored any) *courier.Preferences {
	if stored == nil {
		return nil
	}
	var preferences courier.Preferences
	if err := preferences.UnmarshalJSON(format(stored)); err != nil {
		return nil
	}
	return &preferences
}

// SetPreferences sets the preferences that "get profile" returns for a user; nil, the
// initial state, is returned as null. They show once the user has a profile.
// Preferences that cannot be written as JSON are an error, and nothing changes.
func (h *Handler) SetPreferences(userID string, preferences *courier.Preferences) error {
	if preferences == nil {
		h.store.setPreferences(userID, nil)
		return nil
	}
	text, err := preferences.MarshalJSON()
	if err != nil {
		return err
	}
	parsed, err := parse(text)
	if err != nil {
		return err
	}
	h.store.setPreferences(userID, parsed)
	return nil
}

func (h *Handler) getProfile(c call) response {
	profile, preferences := h.store.profile(c.userID)
	var r response
	if profile == nil {
		r = errorResponse(http.StatusNotFound, "the user has no profile")
	} else {
		r = jsonResponse(http.StatusOK, struct {
			Profile     map[string]any `json:"profile"`
			Preferences any            `json:"preferences"`
		}{profile, preferences})
	}
	r.change = &change{profile, profile}
	return r
}

func (h *Handler) mergeProfile(c call) response {
	patch, err := c.profile()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(profile map[string]any) (map[string]any, error) {
		return merge(profile, patch).(map[string]any), nil
	})
}

func (h *Handler) replaceProfile(c call) response {
	profile, err := c.profile()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(map[string]any) (map[string]any, error) {
		return profile, nil
	})
}

func (h *Handler) patchProfile(c call) response {
	body, err := c.object()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	ops, err := parsePatch(body["patch"])
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusNoContent, func(profile map[string]any) (map[string]any, error) {
		patched, err := applyPatch(profile, ops)
		if err != nil {
			return nil, err
		}
		object, ok := patched.(map[string]any)
		if !ok {
			return nil, errors.New("patch must leave the profile an object")
		}
		// Operations can nest values too deep for the response of "get profile".
		if _, err := decode(format([]any{object})); err != nil {
			return nil, fmt.Errorf("patched profile: %w", err)
		}
		return object, nil
	})
}

func (h *Handler) deleteProfile(c call) response {
	deleted := h.store.deleteProfile(c.userID)
	r := successResponse(http.StatusNoContent)
	r.change = &deleted
	return r
}

// update changes a profile and responds with the given status, or with 400 if the
// change cannot be made.
func (h *Handler) update(
	c call, status int, edit func(profile map[string]any) (map[string]any, error),
) response {
	changed, err := h.store.updateProfile(c.userID, edit)
	r := successResponse(status)
	if err != nil {
		r = errorResponse(http.StatusBadRequest, err.Error())
	}
	r.change = &changed
	return r
}

// profile reads the profile in a request.
func (c call) profile() (map[string]any, error) {
	body, err := c.object()
	if err != nil {
		return nil, err
	}
	profile, ok := body["profile"].(map[string]any)
	if !ok {
		return nil, errors.New("profile must be an object")
	}
	return profile, nil
}
