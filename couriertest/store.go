package couriertest

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// store keeps profiles and list subscriptions, which are separate resources: a
// user may have either without the other. Its zero value is empty and ready.
type store struct {
	mu            sync.Mutex
	profiles      map[string][]byte // JSON objects by user id, never changed in place
	subscriptions map[string][]subscription
}

// profile returns the JSON of a user's profile.
func (s *store) profile(userID string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	profile, ok := s.profiles[userID]
	return profile, ok
}

// updateProfile replaces a profile by what change makes of it, all or nothing.
// A user without a profile has an empty one for change to start from.
func (s *store) updateProfile(userID string, change func(profile any) (any, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	profile := map[string]any{}
	if stored, ok := s.profiles[userID]; ok {
		var err error
		if profile, err = decodeObject(stored); err != nil {
			return err
		}
	}
	changed, err := change(profile)
	if err != nil {
		return err
	}
	encoded, err := encode(changed)
	if err != nil {
		return err
	}
	if s.profiles == nil {
		s.profiles = make(map[string][]byte)
	}
	s.profiles[userID] = encoded
	return nil
}

func (s *store) deleteProfile(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.profiles, userID)
}

// subscription is a user on a list. Lists have their id as name here.
type subscription struct {
	listID string
	// created and updated are when the user was subscribed first and last, in
	// UTC and whole milliseconds.
	created, updated time.Time
	preferences      json.RawMessage // never changed in place; nil for none
}

// subscriptionsOf returns a user's subscriptions, oldest first.
func (s *store) subscriptionsOf(userID string) []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subscriptions[userID])
}

// subscribe adds subscriptions. One to a list that the user has already keeps
// its place, its creation time, and its preferences where it brings none.
func (s *store) subscribe(userID string, added []subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subscriptions := s.subscriptions[userID]
	for _, sub := range added {
		i := slices.IndexFunc(subscriptions, func(had subscription) bool { return had.listID == sub.listID })
		if i < 0 {
			subscriptions = append(subscriptions, sub)
			continue
		}
		had := &subscriptions[i]
		had.updated = sub.updated
		if sub.preferences != nil {
			had.preferences = sub.preferences
		}
	}
	if s.subscriptions == nil {
		s.subscriptions = make(map[string][]subscription)
	}
	s.subscriptions[userID] = subscriptions
}

func (s *store) unsubscribeAll(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, userID)
}
