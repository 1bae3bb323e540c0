package couriertest

import (
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// store holds profiles, preferences and lists, which are separate resources: a user
// may have any of them without the others. Its zero value is empty and ready to use.
// JSON in it is never changed in place.
type store struct {
	mu            sync.Mutex
	profiles      map[string]jsontext.Value // objects, by user ID
	preferences   map[string]jsontext.Value // by user ID
	subscriptions map[string][]subscription // by user ID, oldest first
	lists         map[string]list           // by list ID
}

// list is when a list was created and last updated, in UTC and whole milliseconds.
type list struct{ created, updated time.Time }

// subscription is a user's subscription to a list.
type subscription struct {
	listID      string
	list        list           // filled in by subscriptionsOf
	preferences jsontext.Value // nil for none
}

// profile returns the JSON of a user's profile and preferences.
func (s *store) profile(userID string) (profile, preferences jsontext.Value, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	profile, ok = s.profiles[userID]
	return profile, s.preferences[userID], ok
}

// updateProfile replaces a profile with what change returns for it, or leaves it
// alone after an error. change gets an empty object for a user without a profile.
func (s *store) updateProfile(userID string, change func(profile any) (any, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	profile := any(map[string]any{})
	if stored, ok := s.profiles[userID]; ok {
		var err error
		if profile, err = parse(stored); err != nil {
			return err
		}
	}
	changed, err := change(profile)
	if err != nil {
		return err
	}
	if s.profiles == nil {
		s.profiles = make(map[string]jsontext.Value)
	}
	s.profiles[userID] = format(changed)
	return nil
}

func (s *store) deleteProfile(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.profiles, userID)
}

// setPreferences replaces the preferences of a user; nil removes them.
func (s *store) setPreferences(userID string, preferences jsontext.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.preferences == nil {
		s.preferences = make(map[string]jsontext.Value)
	}
	s.preferences[userID] = preferences
}

func (s *store) subscriptionsOf(userID string) []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	subscriptions := slices.Clone(s.subscriptions[userID])
	for i := range subscriptions {
		subscriptions[i].list = s.lists[subscriptions[i].listID]
	}
	return subscriptions
}

// subscribe adds subscriptions and creates lists that do not exist. A subscription
// that the user already has keeps its place, and its preferences unless it brings new
// ones.
func (s *store) subscribe(userID string, added []subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscriptions == nil {
		s.subscriptions = make(map[string][]subscription)
		s.lists = make(map[string]list)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	subscriptions := s.subscriptions[userID]
	for _, sub := range added {
		l, ok := s.lists[sub.listID]
		if !ok {
			l.created = now
		}
		l.updated = now
		s.lists[sub.listID] = l

		i := slices.IndexFunc(subscriptions, func(had subscription) bool { return had.listID == sub.listID })
		if i < 0 {
			subscriptions = append(subscriptions, sub)
		} else if sub.preferences != nil {
			subscriptions[i].preferences = sub.preferences
		}
	}
	s.subscriptions[userID] = subscriptions
}

func (s *store) unsubscribeAll(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, userID)
}
