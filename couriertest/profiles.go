package couriertest

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	courier "github.com/courier-profiles/courier-go"
)

// Profile returns a user's profile as a client reads it, and false if there is none.
// It also returns false for a profile that a client cannot read, because one of the
// profile's own keys contains an unpaired surrogate.
func (h *Handler) Profile(userID string) (courier.Profile, bool) {
	stored, _, ok := h.store.profile(userID)
	if !ok {
		return courier.Profile{}, false
	}
	var profile courier.Profile
	if err := json.Unmarshal(stored, &profile, lenient); err != nil {
		return courier.Profile{}, false
	}
	return profile, true
}

// SetProfile sets a user's profile and replaces any that exists. Null fields are
// stored as null. A profile that cannot be written as JSON is an error, and nothing is
// stored.
func (h *Handler) SetProfile(userID string, profile courier.Profile) error {
	text, err := json.Marshal(profile)
	if err != nil {
		return err
	}
	object, err := parse(text)
	if err != nil {
		return err
	}
	return h.store.updateProfile(userID, func(any) (any, error) { return object, nil })
}

// SetPreferences sets the preferences that "get profile" returns for a user; nil, the
// initial state, is returned as null. They show once the user has a profile.
// Preferences that cannot be written as JSON are an error, and nothing changes.
func (h *Handler) SetPreferences(userID string, preferences *courier.Preferences) error {
	if preferences == nil {
		h.store.setPreferences(userID, nil)
		return nil
	}
	text, err := json.Marshal(preferences)
	if err != nil {
		return err
	}
	h.store.setPreferences(userID, text)
	return nil
}

func (h *Handler) getProfile(c call) response {
	profile, preferences, ok := h.store.profile(c.userID)
	if !ok {
		return errorResponse(http.StatusNotFound, "the user has no profile")
	}
	return jsonResponse(http.StatusOK, struct {
		Profile     jsontext.Value `json:"profile"`
		Preferences jsontext.Value `json:"preferences"`
	}{profile, preferences})
}

func (h *Handler) mergeProfile(c call) response {
	patch, err := c.profile()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(profile any) (any, error) { return merge(profile, patch), nil })
}

func (h *Handler) replaceProfile(c call) response {
	profile, err := c.profile()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(any) (any, error) { return profile, nil })
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
	return h.update(c, http.StatusNoContent, func(profile any) (any, error) {
		patched, err := applyPatch(profile, ops)
		if err != nil {
			return nil, err
		}
		if _, ok := patched.(map[string]any); !ok {
			return nil, errors.New("patch must leave the profile an object")
		}
		// Operations can nest values too deep for the response of "get profile".
		if _, err := parse(format([]any{patched})); err != nil {
			return nil, fmt.Errorf("patched profile: %w", err)
		}
		return patched, nil
	})
}

func (h *Handler) deleteProfile(c call) response {
	h.store.deleteProfile(c.userID)
	return successResponse(http.StatusNoContent)
}

// update changes a profile and responds with the given status, or with 400 if the
// change cannot be made.
func (h *Handler) update(c call, status int, change func(profile any) (any, error)) response {
	if err := h.store.updateProfile(c.userID, change); err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	return successResponse(status)
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
