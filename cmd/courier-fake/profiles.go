package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// maxUsers is how many users the page lists.
const maxUsers = 200

// profileList is the content of the page of profiles.
type profileList struct {
	Query    string
	Users    []string
	Count    string // how many match, and how many of them are listed
	Total    string // users who have a profile, empty for none
	Selected string
	User     *userDetail
}

// userDetail is the selected user. Profile and Preferences are empty for none.
type userDetail struct {
	ID                   string
	Profile, Preferences string
	Subscriptions        []subscriptionRow
}

type subscriptionRow struct {
	ListID           string
	Created, Updated time.Time
	Preferences      string
}

func (p *page) profiles(w http.ResponseWriter, r *http.Request) {
	users := p.fake.UserIDs()
	list := profileList{Query: r.FormValue("q"), Selected: r.FormValue("user")}
	if len(users) > 0 {
		list.Total = job.Number(int64(len(users)))
	}
	// Who has only subscriptions or preferences is found by the whole ID.
	if _, found := slices.BinarySearch(users, list.Query); !found && !p.user(list.Query).empty() {
		users = slices.Insert(users, 0, list.Query)
	}
	// The page shows a space after each name, which the profile itself does not have.
	query := strings.ReplaceAll(strings.ToLower(list.Query), `": `, `":`)
	found := 0
	for _, userID := range users {
		if !p.matches(userID, query) {
			continue
		}
		found++
		if len(list.Users) < maxUsers {
			list.Users = append(list.Users, userID)
		}
	}
	list.Count = counts(len(list.Users), found, "first")
	if list.Selected != "" {
		user := p.user(list.Selected)
		list.User = &user
	}
	p.show(w, r, http.StatusOK, view{Page: "profiles", Title: "Profiles", Content: list})
}

// matches reports whether a user ID or its profile contains a text, in any case. The
// text is in lower case.
func (p *page) matches(userID, query string) bool {
	if query == "" || strings.Contains(strings.ToLower(userID), query) {
		return true
	}
	profile, _ := p.fake.ProfileJSON(userID)
	return strings.Contains(strings.ToLower(string(profile)), query)
}

func (p *page) user(userID string) userDetail {
	user := userDetail{ID: userID}
	if profile, ok := p.fake.ProfileJSON(userID); ok {
		user.Profile = pretty(profile)
	}
	user.Preferences = preferencesText(p.fake.Preferences(userID))
	for _, s := range p.fake.Subscriptions(userID) {
		user.Subscriptions = append(user.Subscriptions, subscriptionRow{
			ListID: s.ID, Created: s.Created, Updated: s.Updated,
			Preferences: preferencesText(s.Preferences),
		})
	}
	return user
}

func (u userDetail) empty() bool {
	return u.Profile == "" && u.Preferences == "" && len(u.Subscriptions) == 0
}

func preferencesText(preferences *courier.Preferences) string {
	if preferences == nil {
		return ""
	}
	text, err := json.Marshal(preferences)
	if err != nil {
		return "these preferences cannot be written as JSON"
	}
	return pretty(text)
}
