package courier

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The channel objects of a profile, from the Profiles API reference and Courier's
// provider guides. Each is built like Profile: a Field for every documented member, and
// Extra for the members that have no field.

// Airship addresses a user of Airship. For its own JSON encoding, see [Address].
type Airship struct {
	Audience    Field[AirshipAudience] `json:"audience,omitzero"`
	DeviceTypes Field[[]string]        `json:"device_types,omitzero"` // such as ios, android
	Extra       map[string]any         `json:",embed"`
}

// AirshipAudience is the recipient of an [Airship] message.
type AirshipAudience struct {
	NamedUser Field[string]  `json:"named_user,omitzero"`
	Extra     map[string]any `json:",embed"`
}

// APN addresses devices by their tokens of the Apple Push Notification service. An
// older profile may hold a bare string, which the provider rejects; it is read as a
// [Field.Mismatch]. Courier recommends its Device Tokens API, which is not part of
// this package. For its own JSON encoding, see [Address].
type APN struct {
	Token  Field[string]  `json:"token,omitzero"`
	Tokens Field[Tokens]  `json:"tokens,omitzero"`
	Extra  map[string]any `json:",embed"`
}

// AWSSNS addresses a target of Amazon SNS. For its own JSON encoding, see [Address].
type AWSSNS struct {
	TargetARN Field[string]  `json:"target_arn,omitzero"`
	Extra     map[string]any `json:",embed"`
}

// Discord addresses either a channel or a user: set one of the two. For its own JSON
// encoding, see [Address].
type Discord struct {
	ChannelID Field[string]  `json:"channel_id,omitzero"`
	UserID    Field[string]  `json:"user_id,omitzero"`
	Extra     map[string]any `json:",embed"`
}

// Expo addresses devices by their Expo push tokens. Courier merges Token and Tokens, so
// set either or both. For its own JSON encoding, see [Address].
type Expo struct {
	Token  Field[string]  `json:"token,omitzero"`
	Tokens Field[Tokens]  `json:"tokens,omitzero"`
	Extra  map[string]any `json:",embed"`
}

// Intercom addresses a contact in Intercom. For its own JSON encoding, see [Address].
type Intercom struct {
	From  Field[string]            `json:"from,omitzero"` // ID of the admin who sends
	To    Field[IntercomRecipient] `json:"to,omitzero"`
	Extra map[string]any           `json:",embed"`
}

// IntercomRecipient is a contact in [Intercom].
type IntercomRecipient struct {
	ID    Field[string]  `json:"id,omitzero"`
	Extra map[string]any `json:",embed"`
}

// MagicBell addresses a user of MagicBell. For its own JSON encoding, see [Address].
type MagicBell struct {
	ExternalID Field[string]  `json:"external_id,omitzero"`
	Extra      map[string]any `json:",embed"`
}

// MSTeams addresses a user, channel, or conversation of Microsoft Teams. Set at least
// one of TenantID and ServiceURL (both for ConversationID), and with them one of UserID,
// Email, ChannelID, and ConversationID, or both ChannelName and TeamID. For its own JSON
// encoding, see [Address].
type MSTeams struct {
	TenantID       Field[string]  `json:"tenant_id,omitzero"`
	ServiceURL     Field[string]  `json:"service_url,omitzero"`
	UserID         Field[string]  `json:"user_id,omitzero"`
	Email          Field[string]  `json:"email,omitzero"`
	ChannelID      Field[string]  `json:"channel_id,omitzero"`
	ConversationID Field[string]  `json:"conversation_id,omitzero"`
	ChannelName    Field[string]  `json:"channel_name,omitzero"` // with TeamID
	TeamID         Field[string]  `json:"team_id,omitzero"`      // with ChannelName
	Extra          map[string]any `json:",embed"`
}

// PagerDuty addresses a service of PagerDuty. For its own JSON encoding, see [Address].
type PagerDuty struct {
	RoutingKey Field[string]  `json:"routing_key,omitzero"` // a secret
	Extra      map[string]any `json:",embed"`
}

// Pusher addresses a channel of Pusher. For its own JSON encoding, see [Address].
type Pusher struct {
	Channel Field[string]  `json:"channel,omitzero"`
	Extra   map[string]any `json:",embed"`
}

// Slack addresses a user or a channel of Slack. Set either AccessToken with one of
// Channel, Email, and UserID, or IncomingWebhook alone. For its own JSON encoding,
// see [Address].
type Slack struct {
	AccessToken     Field[string]               `json:"access_token,omitzero"` // a secret
	Channel         Field[string]               `json:"channel,omitzero"`
	Email           Field[string]               `json:"email,omitzero"`
	UserID          Field[string]               `json:"user_id,omitzero"`
	IncomingWebhook Field[SlackIncomingWebhook] `json:"incoming_webhook,omitzero"`
	Extra           map[string]any              `json:",embed"`
}

// SlackIncomingWebhook is an incoming webhook of [Slack].
type SlackIncomingWebhook struct {
	URL   Field[string]  `json:"url,omitzero"` // a secret
	Extra map[string]any `json:",embed"`
}

// Viber addresses a user of Viber. For its own JSON encoding, see [Address].
type Viber struct {
	Receiver Field[string]  `json:"receiver,omitzero"`
	Extra    map[string]any `json:",embed"`
}

// Webhook makes Courier call a URL of yours. For its own JSON encoding, see [Address].
type Webhook struct {
	URL            Field[string]                `json:"url,omitzero"`
	Method         Field[string]                `json:"method,omitzero"` // POST, PUT, or GET: Courier's documents differ on the last two
	Headers        Field[map[string]string]     `json:"headers,omitzero"`
	Authentication Field[WebhookAuthentication] `json:"authentication,omitzero"`
	Profile        Field[string]                `json:"profile,omitzero"` // how much of the profile is sent: limited or expanded
	Extra          map[string]any               `json:",embed"`
}

// WebhookAuthentication is how Courier authenticates to a [Webhook].
type WebhookAuthentication struct {
	Mode     Field[string]  `json:"mode,omitzero"`     // none, basic, or bearer
	Username Field[string]  `json:"username,omitzero"` // for basic
	Password Field[string]  `json:"password,omitzero"` // for basic; a secret
	Token    Field[string]  `json:"token,omitzero"`    // for bearer; a secret
	Extra    map[string]any `json:",embed"`
}

// Tokens is one device token or several. Courier accepts a string, an array of strings,
// and for Expo an array of {"token": …} objects; Tokens keeps the form in which it was
// created or read. Anything else, such as an array that mixes the two, is a
// [Field.Mismatch].
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

// Token returns one device token, written as a string.
func Token(token string) Tokens { return Tokens{list: []string{token}, form: formString} }

// TokenList returns any number of device tokens, written as an array of strings.
func TokenList(tokens ...string) Tokens { return Tokens{list: slices.Clone(tokens)} }

// All returns the device tokens, in whatever form they are written.
func (t Tokens) All() []string { return slices.Clone(t.list) }

// tokenObject is the form of older Expo profiles.
type tokenObject struct {
	Token Field[string] `json:"token"`
}

// MarshalJSON writes the tokens in their form.
func (t Tokens) MarshalJSON() ([]byte, error) { return encode(&t) }

// UnmarshalJSON reads a string, an array of strings, or an array of {"token": …} objects.
func (t *Tokens) UnmarshalJSON(text []byte) error { return decode(text, t) }

// MarshalJSONTo is [Tokens.MarshalJSON] for encoding/json/v2.
func (t Tokens) MarshalJSONTo(enc *jsontext.Encoder) error {
	switch t.form {
	case formString:
		return encodeTo(enc, &t.list[0])
	case formObjects:
		objects := make([]tokenObject, len(t.list))
		for i, token := range t.list {
			objects[i].Token = Set(token)
		}
		return encodeTo(enc, objects)
	}
	return encodeTo(enc, &t.list)
}

// UnmarshalJSONFrom is [Tokens.UnmarshalJSON] for encoding/json/v2.
func (t *Tokens) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = Tokens{}
	raw, err := readRaw(dec)
	if err != nil {
		return err
	}
	var token string
	if fits(raw, &token) {
		*t = Token(token)
		return nil
	}
	if json.Unmarshal(raw, &t.list, reading) == nil {
		return nil
	}
	*t = Tokens{form: formObjects}
	var objects []tokenObject
	// A member that Tokens cannot keep makes it a mismatch, which keeps all of it.
	err = json.Unmarshal(raw, &objects, reading, json.RejectUnknownMembers(true))
	for _, object := range objects {
		token, ok := object.Token.Get()
		if !ok {
			return errType
		}
		t.list = append(t.list, token)
	}
	return err
}
