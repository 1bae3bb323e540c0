package courier

import (
	"slices"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// The channel objects of a profile, from the API reference of Courier's
// Profiles API. Each is made like [Profile]: a Field for every known member,
// and Extra for the rest.

// Airship addresses a user of Airship.
type Airship struct {
	Audience    Field[AirshipAudience]
	DeviceTypes Field[[]string] // such as ios, android
	Extra       map[string]any  // the other members
}

func (a *Airship) visit(v jsonobject.Visitor) {
	v.Extra(&a.Extra)
	v.Field("audience", value(&a.Audience))
	v.Field("device_types", value(&a.DeviceTypes))
}

// MarshalJSON writes the members that are there.
func (a Airship) MarshalJSON() ([]byte, error) { return marshal(&a) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (a *Airship) UnmarshalJSON(text []byte) error { return unmarshal(text, a) }

// AirshipAudience says whom Airship reaches.
type AirshipAudience struct {
	NamedUser Field[string]
	Extra     map[string]any // the other members
}

func (a *AirshipAudience) visit(v jsonobject.Visitor) {
	v.Extra(&a.Extra)
	v.Field("named_user", value(&a.NamedUser))
}

// MarshalJSON writes the members that are there.
func (a AirshipAudience) MarshalJSON() ([]byte, error) { return marshal(&a) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (a *AirshipAudience) UnmarshalJSON(text []byte) error { return unmarshal(text, a) }

// Discord addresses a channel, or a user directly: set one of the two.
type Discord struct {
	ChannelID Field[string]
	UserID    Field[string]
	Extra     map[string]any // the other members
}

func (d *Discord) visit(v jsonobject.Visitor) {
	v.Extra(&d.Extra)
	v.Field("channel_id", value(&d.ChannelID))
	v.Field("user_id", value(&d.UserID))
}

// MarshalJSON writes the members that are there.
func (d Discord) MarshalJSON() ([]byte, error) { return marshal(&d) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (d *Discord) UnmarshalJSON(text []byte) error { return unmarshal(text, d) }

// Expo addresses devices by the push tokens of Expo: set one of the two.
type Expo struct {
	Token  Field[string]
	Tokens Field[Tokens]
	Extra  map[string]any // the other members
}

func (e *Expo) visit(v jsonobject.Visitor) {
	v.Extra(&e.Extra)
	v.Field("token", value(&e.Token))
	v.Field("tokens", value(&e.Tokens))
}

// MarshalJSON writes the members that are there.
func (e Expo) MarshalJSON() ([]byte, error) { return marshal(&e) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (e *Expo) UnmarshalJSON(text []byte) error { return unmarshal(text, e) }

// Intercom addresses a contact in Intercom.
type Intercom struct {
	From  Field[string] // id of the sending admin
	To    Field[IntercomRecipient]
	Extra map[string]any // the other members
}

func (i *Intercom) visit(v jsonobject.Visitor) {
	v.Extra(&i.Extra)
	v.Field("from", value(&i.From))
	v.Field("to", value(&i.To))
}

// MarshalJSON writes the members that are there.
func (i Intercom) MarshalJSON() ([]byte, error) { return marshal(&i) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (i *Intercom) UnmarshalJSON(text []byte) error { return unmarshal(text, i) }

// IntercomRecipient names a contact of Intercom.
type IntercomRecipient struct {
	ID    Field[string]
	Extra map[string]any // the other members
}

func (i *IntercomRecipient) visit(v jsonobject.Visitor) {
	v.Extra(&i.Extra)
	v.Field("id", value(&i.ID))
}

// MarshalJSON writes the members that are there.
func (i IntercomRecipient) MarshalJSON() ([]byte, error) { return marshal(&i) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (i *IntercomRecipient) UnmarshalJSON(text []byte) error { return unmarshal(text, i) }

// MSTeams addresses a user or a channel of Microsoft Teams: TenantID and
// ServiceURL with one of UserID, Email, ChannelID and ConversationID, or with
// ChannelName and TeamID.
type MSTeams struct {
	TenantID       Field[string]
	ServiceURL     Field[string] // URL
	UserID         Field[string]
	Email          Field[string]
	ChannelID      Field[string]
	ConversationID Field[string]
	ChannelName    Field[string]
	TeamID         Field[string]
	Extra          map[string]any // the other members
}

func (m *MSTeams) visit(v jsonobject.Visitor) {
	v.Extra(&m.Extra)
	v.Field("tenant_id", value(&m.TenantID))
	v.Field("service_url", value(&m.ServiceURL))
	v.Field("user_id", value(&m.UserID))
	v.Field("email", value(&m.Email))
	v.Field("channel_id", value(&m.ChannelID))
	v.Field("conversation_id", value(&m.ConversationID))
	v.Field("channel_name", value(&m.ChannelName))
	v.Field("team_id", value(&m.TeamID))
}

// MarshalJSON writes the members that are there.
func (m MSTeams) MarshalJSON() ([]byte, error) { return marshal(&m) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (m *MSTeams) UnmarshalJSON(text []byte) error { return unmarshal(text, m) }

// Slack addresses a user or a channel of Slack: AccessToken with one of Channel,
// Email and UserID, or IncomingWebhook alone.
type Slack struct {
	AccessToken     Field[string] // a secret
	Channel         Field[string]
	Email           Field[string]
	UserID          Field[string]
	IncomingWebhook Field[SlackIncomingWebhook]
	Extra           map[string]any // the other members
}

func (s *Slack) visit(v jsonobject.Visitor) {
	v.Extra(&s.Extra)
	v.Field("access_token", value(&s.AccessToken))
	v.Field("channel", value(&s.Channel))
	v.Field("email", value(&s.Email))
	v.Field("user_id", value(&s.UserID))
	v.Field("incoming_webhook", value(&s.IncomingWebhook))
}

// MarshalJSON writes the members that are there.
func (s Slack) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (s *Slack) UnmarshalJSON(text []byte) error { return unmarshal(text, s) }

// SlackIncomingWebhook is an incoming webhook of Slack.
type SlackIncomingWebhook struct {
	URL   Field[string]  // a secret
	Extra map[string]any // the other members
}

func (s *SlackIncomingWebhook) visit(v jsonobject.Visitor) {
	v.Extra(&s.Extra)
	v.Field("url", value(&s.URL))
}

// MarshalJSON writes the members that are there.
func (s SlackIncomingWebhook) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (s *SlackIncomingWebhook) UnmarshalJSON(text []byte) error { return unmarshal(text, s) }

// Webhook has Courier call an address of yours.
type Webhook struct {
	URL            Field[string]
	Method         Field[string] // POST or GET
	Headers        Field[map[string]string]
	Authentication Field[WebhookAuthentication]
	Profile        Field[string]  // limited or expanded: how much of the profile is sent along
	Extra          map[string]any // the other members
}

func (h *Webhook) visit(v jsonobject.Visitor) {
	v.Extra(&h.Extra)
	v.Field("url", value(&h.URL))
	v.Field("method", value(&h.Method))
	v.Field("headers", value(&h.Headers))
	v.Field("authentication", value(&h.Authentication))
	v.Field("profile", value(&h.Profile))
}

// MarshalJSON writes the members that are there.
func (h Webhook) MarshalJSON() ([]byte, error) { return marshal(&h) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (h *Webhook) UnmarshalJSON(text []byte) error { return unmarshal(text, h) }

// WebhookAuthentication says how Courier authenticates itself to a [Webhook].
type WebhookAuthentication struct {
	Mode     Field[string]  // none, basic or bearer
	Username Field[string]  // for basic
	Password Field[string]  // for basic
	Token    Field[string]  // for bearer
	Extra    map[string]any // the other members
}

func (h *WebhookAuthentication) visit(v jsonobject.Visitor) {
	v.Extra(&h.Extra)
	v.Field("mode", value(&h.Mode))
	v.Field("username", value(&h.Username))
	v.Field("password", value(&h.Password))
	v.Field("token", value(&h.Token))
}

// MarshalJSON writes the members that are there.
func (h WebhookAuthentication) MarshalJSON() ([]byte, error) { return marshal(&h) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (h *WebhookAuthentication) UnmarshalJSON(text []byte) error { return unmarshal(text, h) }

// Tokens is one device token or several, in the form in which it was made or
// read: Courier takes a string, an array of strings and, for Expo, an array of
// {"token": …} objects. An array that mixes them does not fit, and is in Extra.
type Tokens struct {
	list []string
	form tokensForm
}

type tokensForm uint8

const (
	formList tokensForm = iota
	formString
	formObjects
)

// Token returns one token, written as a string.
func Token(token string) Tokens { return Tokens{list: []string{token}, form: formString} }

// TokenList returns any number of tokens, written as an array of strings.
func TokenList(tokens ...string) Tokens { return Tokens{list: slices.Clone(tokens)} }

// All returns the tokens, however they are written.
func (t Tokens) All() []string { return slices.Clone(t.list) }

// MarshalJSON writes the tokens in their form.
func (t Tokens) MarshalJSON() ([]byte, error) { return marshal(&t) }

// UnmarshalJSON reads a string, an array of strings or one of {"token": …}
// objects.
func (t *Tokens) UnmarshalJSON(text []byte) error { return unmarshal(text, t) }

func (t *Tokens) writeJSON(w *jsonobject.Writer) {
	switch {
	case t.form == formString && len(t.list) == 1:
		w.String(t.list[0])
	case t.form == formObjects:
		jsonobject.List(w, t.list, func(token string) {
			w.Raw(`{"token":`)
			w.String(token)
			w.Raw("}")
		})
	default:
		jsonobject.List(w, t.list, w.String)
	}
}

func (t *Tokens) readJSON(r *jsonobject.Reader) bool {
	if token, ok := r.String(); ok {
		*t = Token(token)
		return true
	}
	start := *r
	if list, ok := readList(r, (*jsonobject.Reader).String); ok {
		*t = Tokens{list: list}
		return true
	}
	*r = start
	list, ok := readList(r, readTokenObject)
	*t = Tokens{list: list, form: formObjects}
	return ok
}

// readTokenObject reads {"token": …} with no other member.
func readTokenObject(r *jsonobject.Reader) (string, bool) {
	value, ok := r.Any()
	members, isObject := value.(map[string]any)
	token, isText := members["token"].(string)
	return token, ok && isObject && isText && len(members) == 1
}
