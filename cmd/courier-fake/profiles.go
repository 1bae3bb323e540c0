package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// maxUsers is how many users the page lists.
const maxUsers = 200

// profileList is the content of the page of profiles.
type profileList struct {
	Query    string
	Users    []string
	Count    string // how many match, and how many of them are listed
	Total    int    // users who have a profile
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
	list := profileList{
		Query: r.FormValue("q"), Selected: r.FormValue("user"), Total: len(users),
	}
	found := 0
	for _, userID := range users {
		if !p.matches(userID, list.Query) {
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

// matches reports whether a user ID or its profile contains a text, in any case.
func (p *page) matches(userID, query string) bool {
	if query == "" {
		return true
	}
	query = strings.ToLower(query)
	if strings.Contains(strings.ToLower(userID), query) {
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
