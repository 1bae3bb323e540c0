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

var airshipObject = jsonobject.Object[Airship]{
	Extra: func(a *Airship) *map[string]any { return &a.Extra },
	Members: []jsonobject.Member[Airship]{
		{Key: "audience", Of: func(a *Airship) jsonobject.Value { return value(&a.Audience) }},
		{Key: "device_types", Of: func(a *Airship) jsonobject.Value { return value(&a.DeviceTypes) }},
	},
}

func (a *Airship) writeJSON(w *jsonobject.Writer)     { airshipObject.Write(w, a) }
func (a *Airship) readJSON(r *jsonobject.Reader) bool { return airshipObject.Read(r, a) }

// MarshalJSON writes the members that are there.
func (a Airship) MarshalJSON() ([]byte, error) { return marshal(a.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (a *Airship) UnmarshalJSON(text []byte) error { return unmarshal(text, a, (*Airship).readJSON) }

// AirshipAudience says whom Airship reaches.
type AirshipAudience struct {
	NamedUser Field[string]
	Extra     map[string]any // the other members
}

var airshipAudienceObject = jsonobject.Object[AirshipAudience]{
	Extra: func(a *AirshipAudience) *map[string]any { return &a.Extra },
	Members: []jsonobject.Member[AirshipAudience]{
		{Key: "named_user", Of: func(a *AirshipAudience) jsonobject.Value { return value(&a.NamedUser) }},
	},
}

func (a *AirshipAudience) writeJSON(w *jsonobject.Writer) { airshipAudienceObject.Write(w, a) }
func (a *AirshipAudience) readJSON(r *jsonobject.Reader) bool {
	return airshipAudienceObject.Read(r, a)
}

// MarshalJSON writes the members that are there.
func (a AirshipAudience) MarshalJSON() ([]byte, error) { return marshal(a.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (a *AirshipAudience) UnmarshalJSON(text []byte) error {
	return unmarshal(text, a, (*AirshipAudience).readJSON)
}

// Discord addresses a channel, or a user directly: set one of the two.
type Discord struct {
	ChannelID Field[string]
	UserID    Field[string]
	Extra     map[string]any // the other members
}

var discordObject = jsonobject.Object[Discord]{
	Extra: func(d *Discord) *map[string]any { return &d.Extra },
	Members: []jsonobject.Member[Discord]{
		{Key: "channel_id", Of: func(d *Discord) jsonobject.Value { return value(&d.ChannelID) }},
		{Key: "user_id", Of: func(d *Discord) jsonobject.Value { return value(&d.UserID) }},
	},
}

func (d *Discord) writeJSON(w *jsonobject.Writer)     { discordObject.Write(w, d) }
func (d *Discord) readJSON(r *jsonobject.Reader) bool { return discordObject.Read(r, d) }

// MarshalJSON writes the members that are there.
func (d Discord) MarshalJSON() ([]byte, error) { return marshal(d.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (d *Discord) UnmarshalJSON(text []byte) error { return unmarshal(text, d, (*Discord).readJSON) }

// Expo addresses devices by the push tokens of Expo: set one of the two.
type Expo struct {
	Token  Field[string]
	Tokens Field[Tokens]
	Extra  map[string]any // the other members
}

var expoObject = jsonobject.Object[Expo]{
	Extra: func(e *Expo) *map[string]any { return &e.Extra },
	Members: []jsonobject.Member[Expo]{
		{Key: "token", Of: func(e *Expo) jsonobject.Value { return value(&e.Token) }},
		{Key: "tokens", Of: func(e *Expo) jsonobject.Value { return value(&e.Tokens) }},
	},
}

func (e *Expo) writeJSON(w *jsonobject.Writer)     { expoObject.Write(w, e) }
func (e *Expo) readJSON(r *jsonobject.Reader) bool { return expoObject.Read(r, e) }

// MarshalJSON writes the members that are there.
func (e Expo) MarshalJSON() ([]byte, error) { return marshal(e.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (e *Expo) UnmarshalJSON(text []byte) error { return unmarshal(text, e, (*Expo).readJSON) }

// Intercom addresses a contact in Intercom.
type Intercom struct {
	From  Field[string] // id of the sending admin
	To    Field[IntercomRecipient]
	Extra map[string]any // the other members
}

var intercomObject = jsonobject.Object[Intercom]{
	Extra: func(i *Intercom) *map[string]any { return &i.Extra },
	Members: []jsonobject.Member[Intercom]{
		{Key: "from", Of: func(i *Intercom) jsonobject.Value { return value(&i.From) }},
		{Key: "to", Of: func(i *Intercom) jsonobject.Value { return value(&i.To) }},
	},
}

func (i *Intercom) writeJSON(w *jsonobject.Writer)     { intercomObject.Write(w, i) }
func (i *Intercom) readJSON(r *jsonobject.Reader) bool { return intercomObject.Read(r, i) }

// MarshalJSON writes the members that are there.
func (i Intercom) MarshalJSON() ([]byte, error) { return marshal(i.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (i *Intercom) UnmarshalJSON(text []byte) error { return unmarshal(text, i, (*Intercom).readJSON) }

// IntercomRecipient names a contact of Intercom.
type IntercomRecipient struct {
	ID    Field[string]
	Extra map[string]any // the other members
}

var intercomRecipientObject = jsonobject.Object[IntercomRecipient]{
	Extra: func(i *IntercomRecipient) *map[string]any { return &i.Extra },
	Members: []jsonobject.Member[IntercomRecipient]{
		{Key: "id", Of: func(i *IntercomRecipient) jsonobject.Value { return value(&i.ID) }},
	},
}

func (i *IntercomRecipient) writeJSON(w *jsonobject.Writer) { intercomRecipientObject.Write(w, i) }
func (i *IntercomRecipient) readJSON(r *jsonobject.Reader) bool {
	return intercomRecipientObject.Read(r, i)
}

// MarshalJSON writes the members that are there.
func (i IntercomRecipient) MarshalJSON() ([]byte, error) { return marshal(i.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (i *IntercomRecipient) UnmarshalJSON(text []byte) error {
	return unmarshal(text, i, (*IntercomRecipient).readJSON)
}

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

var msTeamsObject = jsonobject.Object[MSTeams]{
	Extra: func(m *MSTeams) *map[string]any { return &m.Extra },
	Members: []jsonobject.Member[MSTeams]{
		{Key: "tenant_id", Of: func(m *MSTeams) jsonobject.Value { return value(&m.TenantID) }},
		{Key: "service_url", Of: func(m *MSTeams) jsonobject.Value { return value(&m.ServiceURL) }},
		{Key: "user_id", Of: func(m *MSTeams) jsonobject.Value { return value(&m.UserID) }},
		{Key: "email", Of: func(m *MSTeams) jsonobject.Value { return value(&m.Email) }},
		{Key: "channel_id", Of: func(m *MSTeams) jsonobject.Value { return value(&m.ChannelID) }},
		{Key: "conversation_id", Of: func(m *MSTeams) jsonobject.Value { return value(&m.ConversationID) }},
		{Key: "channel_name", Of: func(m *MSTeams) jsonobject.Value { return value(&m.ChannelName) }},
		{Key: "team_id", Of: func(m *MSTeams) jsonobject.Value { return value(&m.TeamID) }},
	},
}

func (m *MSTeams) writeJSON(w *jsonobject.Writer)     { msTeamsObject.Write(w, m) }
func (m *MSTeams) readJSON(r *jsonobject.Reader) bool { return msTeamsObject.Read(r, m) }

// MarshalJSON writes the members that are there.
func (m MSTeams) MarshalJSON() ([]byte, error) { return marshal(m.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (m *MSTeams) UnmarshalJSON(text []byte) error { return unmarshal(text, m, (*MSTeams).readJSON) }

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

var slackObject = jsonobject.Object[Slack]{
	Extra: func(s *Slack) *map[string]any { return &s.Extra },
	Members: []jsonobject.Member[Slack]{
		{Key: "access_token", Of: func(s *Slack) jsonobject.Value { return value(&s.AccessToken) }},
		{Key: "channel", Of: func(s *Slack) jsonobject.Value { return value(&s.Channel) }},
		{Key: "email", Of: func(s *Slack) jsonobject.Value { return value(&s.Email) }},
		{Key: "user_id", Of: func(s *Slack) jsonobject.Value { return value(&s.UserID) }},
		{Key: "incoming_webhook", Of: func(s *Slack) jsonobject.Value { return value(&s.IncomingWebhook) }},
	},
}

func (s *Slack) writeJSON(w *jsonobject.Writer)     { slackObject.Write(w, s) }
func (s *Slack) readJSON(r *jsonobject.Reader) bool { return slackObject.Read(r, s) }

// MarshalJSON writes the members that are there.
func (s Slack) MarshalJSON() ([]byte, error) { return marshal(s.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (s *Slack) UnmarshalJSON(text []byte) error { return unmarshal(text, s, (*Slack).readJSON) }

// SlackIncomingWebhook is an incoming webhook of Slack.
type SlackIncomingWebhook struct {
	URL   Field[string]  // a secret
	Extra map[string]any // the other members
}

var slackIncomingWebhookObject = jsonobject.Object[SlackIncomingWebhook]{
	Extra: func(s *SlackIncomingWebhook) *map[string]any { return &s.Extra },
	Members: []jsonobject.Member[SlackIncomingWebhook]{
		{Key: "url", Of: func(s *SlackIncomingWebhook) jsonobject.Value { return value(&s.URL) }},
	},
}

func (s *SlackIncomingWebhook) writeJSON(w *jsonobject.Writer) {
	slackIncomingWebhookObject.Write(w, s)
}
func (s *SlackIncomingWebhook) readJSON(r *jsonobject.Reader) bool {
	return slackIncomingWebhookObject.Read(r, s)
}

// MarshalJSON writes the members that are there.
func (s SlackIncomingWebhook) MarshalJSON() ([]byte, error) { return marshal(s.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (s *SlackIncomingWebhook) UnmarshalJSON(text []byte) error {
	return unmarshal(text, s, (*SlackIncomingWebhook).readJSON)
}

// Webhook has Courier call an address of yours.
type Webhook struct {
	URL            Field[string]
	Method         Field[string] // POST or GET
	Headers        Field[map[string]string]
	Authentication Field[WebhookAuthentication]
	Profile        Field[string]  // limited or expanded: how much of the profile is sent along
	Extra          map[string]any // the other members
}

var webhookObject = jsonobject.Object[Webhook]{
	Extra: func(h *Webhook) *map[string]any { return &h.Extra },
	Members: []jsonobject.Member[Webhook]{
		{Key: "url", Of: func(h *Webhook) jsonobject.Value { return value(&h.URL) }},
		{Key: "method", Of: func(h *Webhook) jsonobject.Value { return value(&h.Method) }},
		{Key: "headers", Of: func(h *Webhook) jsonobject.Value { return value(&h.Headers) }},
		{Key: "authentication", Of: func(h *Webhook) jsonobject.Value { return value(&h.Authentication) }},
		{Key: "profile", Of: func(h *Webhook) jsonobject.Value { return value(&h.Profile) }},
	},
}

func (h *Webhook) writeJSON(w *jsonobject.Writer)     { webhookObject.Write(w, h) }
func (h *Webhook) readJSON(r *jsonobject.Reader) bool { return webhookObject.Read(r, h) }

// MarshalJSON writes the members that are there.
func (h Webhook) MarshalJSON() ([]byte, error) { return marshal(h.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (h *Webhook) UnmarshalJSON(text []byte) error { return unmarshal(text, h, (*Webhook).readJSON) }

// WebhookAuthentication says how Courier authenticates itself to a [Webhook].
type WebhookAuthentication struct {
	Mode     Field[string]  // none, basic or bearer
	Username Field[string]  // for basic
	Password Field[string]  // for basic
	Token    Field[string]  // for bearer
	Extra    map[string]any // the other members
}

var webhookAuthenticationObject = jsonobject.Object[WebhookAuthentication]{
	Extra: func(h *WebhookAuthentication) *map[string]any { return &h.Extra },
	Members: []jsonobject.Member[WebhookAuthentication]{
		{Key: "mode", Of: func(h *WebhookAuthentication) jsonobject.Value { return value(&h.Mode) }},
		{Key: "username", Of: func(h *WebhookAuthentication) jsonobject.Value { return value(&h.Username) }},
		{Key: "password", Of: func(h *WebhookAuthentication) jsonobject.Value { return value(&h.Password) }},
		{Key: "token", Of: func(h *WebhookAuthentication) jsonobject.Value { return value(&h.Token) }},
	},
}

func (h *WebhookAuthentication) writeJSON(w *jsonobject.Writer) {
	webhookAuthenticationObject.Write(w, h)
}
func (h *WebhookAuthentication) readJSON(r *jsonobject.Reader) bool {
	return webhookAuthenticationObject.Read(r, h)
}

// MarshalJSON writes the members that are there.
func (h WebhookAuthentication) MarshalJSON() ([]byte, error) { return marshal(h.writeJSON) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (h *WebhookAuthentication) UnmarshalJSON(text []byte) error {
	return unmarshal(text, h, (*WebhookAuthentication).readJSON)
}

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
func (t Tokens) MarshalJSON() ([]byte, error) { return marshal(t.writeJSON) }

// UnmarshalJSON reads a string, an array of strings or one of {"token": …}
// objects.
func (t *Tokens) UnmarshalJSON(text []byte) error { return unmarshal(text, t, (*Tokens).readJSON) }

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
