package couriertest

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// store holds profiles, preferences and lists, which are separate resources: a user
// may have any of them without the others. Its zero value is empty and ready to use.
// JSON in it is parsed, and never changed in place.
type store struct {
	mu            sync.Mutex
	profiles      map[string]map[string]any // by user ID
	preferences   map[string]any            // by user ID
	subscriptions map[string][]subscription // by user ID, oldest first
	lists         map[string]list           // by list ID
}

// list is when a list was created and last updated, in UTC and whole milliseconds.
type list struct{ created, updated time.Time }

// subscription is a user's subscription to a list.
type subscription struct {
	listID      string
	list        list // filled in by subscriptionsOf
	preferences any  // nil for none
}

// change is a user's profile before and after a request, nil where there is none.
type change struct{ before, after map[string]any }

// profile returns a user's profile and preferences, nil where there are none.
func (s *store) profile(userID string) (profile map[string]any, preferences any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.profiles[userID], s.preferences[userID]
}

// userIDs returns the users who have a profile.
func (s *store) userIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.profiles))
}

// updateProfile replaces a profile with what edit returns for it, or leaves it alone
// after an error. edit gets an empty object for a user without a profile.
func (s *store) updateProfile(
	userID string, edit func(profile map[string]any) (map[string]any, error),
) (change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.profiles[userID]
	profile := before
	if profile == nil {
		profile = map[string]any{}
	}
	after, err := edit(profile)
	if err != nil {
		return change{before, before}, err
	}
	if s.profiles == nil {
		s.profiles = make(map[string]map[string]any)
	}
	s.profiles[userID] = after
	return change{before, after}, nil
}

func (s *store) deleteProfile(userID string) change {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.profiles[userID]
	delete(s.profiles, userID)
	return change{before: before}
}

// setPreferences replaces the preferences of a user; nil removes them.
func (s *store) setPreferences(userID string, preferences any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.preferences == nil {
		s.preferences = make(map[string]any)
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

		i := slices.IndexFunc(subscriptions, func(existing subscription) bool {
			return existing.listID == sub.listID
		})
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

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.profiles = nil
	s.preferences = nil
	s.subscriptions = nil
	s.lists = nil
}
