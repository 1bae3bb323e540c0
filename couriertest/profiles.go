package couriertest

import (
	"encoding/json"
	"errors"
	"net/http"

	courier "github.com/courier-profiles/courier-go"
)

// Profile returns a user's profile, and false when there is none.
func (h *Handler) Profile(userID string) (courier.Profile, bool) {
	stored, ok := h.store.profile(userID)
	if !ok {
		return courier.Profile{}, false
	}
	var profile courier.Profile
	if err := json.Unmarshal(stored, &profile); err != nil {
		return courier.Profile{}, false
	}
	return profile, true
}

// SetProfile gives a user a profile, in place of any that there was. Fields
// that are null are stored as null. The error is that of a profile which cannot
// be written as JSON; nothing is stored then.
func (h *Handler) SetProfile(userID string, profile courier.Profile) error {
	text, err := json.Marshal(profile)
	if err != nil {
		return err
	}
	object, err := decodeObject(text)
	if err != nil {
		return err
	}
	return h.store.updateProfile(userID, func(any) (any, error) { return object, nil })
}

func (h *Handler) getProfile(c call) answer {
	profile, ok := h.store.profile(c.userID)
	if !ok {
		return refuse(http.StatusNotFound, "the user has no profile")
	}
	return answerJSON(http.StatusOK, map[string]any{"profile": json.RawMessage(profile), "preferences": nil})
}

func (h *Handler) mergeProfile(c call) answer {
	patch, err := c.profile()
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(profile any) (any, error) { return merge(profile, patch), nil })
}

func (h *Handler) replaceProfile(c call) answer {
	profile, err := c.profile()
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusOK, func(any) (any, error) { return profile, nil })
}

func (h *Handler) patchProfile(c call) answer {
	body, err := c.object()
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	ops, err := parsePatch(body["patch"])
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return h.update(c, http.StatusNoContent, func(profile any) (any, error) {
		patched, err := applyPatch(profile, ops)
		if err != nil {
			return nil, err
		}
		if _, ok := patched.(map[string]any); !ok {
			return nil, errors.New("patch must leave the profile an object")
		}
		return patched, nil
	})
}

func (h *Handler) deleteProfile(c call) answer {
	h.store.deleteProfile(c.userID)
	return succeed(http.StatusNoContent)
}

// update changes a profile and answers with the status given, or with 400 when
// the change cannot be made.
func (h *Handler) update(c call, status int, change func(profile any) (any, error)) answer {
	if err := h.store.updateProfile(c.userID, change); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	return succeed(status)
}

// profile reads the profile that a request carries.
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
