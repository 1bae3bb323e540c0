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

// ChatAPI addresses a phone number or a chat of Chat API: set one of the two. For its own
// JSON encoding, see [Address].
type ChatAPI struct {
	PhoneNumber Field[string]  `json:"phone_number,omitzero"`
	ChatID      Field[string]  `json:"chat_id,omitzero"`
	Extra       map[string]any `json:",embed"`
}

// CourierChannel is the key "courier": a channel of Courier itself, which Courier's template
// for user imports calls courier.channel. For its own JSON encoding, see [Address].
type CourierChannel struct {
	Channel Field[string]  `json:"channel,omitzero"`
	Extra   map[string]any `json:",embed"`
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
	RoutingKey  Field[string]  `json:"routing_key,omitzero"` // a secret
	EventAction Field[string]  `json:"event_action,omitzero"`
	Severity    Field[string]  `json:"severity,omitzero"`
	Source      Field[string]  `json:"source,omitzero"`
	Extra       map[string]any `json:",embed"`
}

// Pusher addresses a channel of Pusher. For its own JSON encoding, see [Address].
type Pusher struct {
	Channel Field[string]  `json:"channel,omitzero"`
	Extra   map[string]any `json:",embed"`
}

// PusherBeams addresses interests or users of Pusher Beams: set one of the two. For its own
// JSON encoding, see [Address].
type PusherBeams struct {
	Interests Field[[]string] `json:"interests,omitzero"`
	UserIDs   Field[[]string] `json:"userIds,omitzero"`
	Mode      Field[string]   `json:"mode,omitzero"`
	Extra     map[string]any  `json:",embed"`
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

// SplunkOnCall addresses a target of Splunk On-Call. For its own JSON encoding, see
// [Address].
type SplunkOnCall struct {
	Target Field[SplunkOnCallTarget] `json:"target,omitzero"`
	Extra  map[string]any            `json:",embed"`
}

// SplunkOnCallTarget is the recipient of a [SplunkOnCall] message.
type SplunkOnCallTarget struct {
	Type  Field[string]  `json:"type,omitzero"`
	Slug  Field[string]  `json:"slug,omitzero"`
	Extra map[string]any `json:",embed"`
}

// StreamChat addresses a channel or a message of Stream Chat. Set ChannelType with one of
// ChannelID and MessageID. For its own JSON encoding, see [Address].
type StreamChat struct {
	ChannelType Field[string]  `json:"channelType,omitzero"`
	ChannelID   Field[string]  `json:"channelId,omitzero"`
	MessageID   Field[string]  `json:"messageId,omitzero"`
	Extra       map[string]any `json:",embed"`
}

// Viber addresses a user of Viber. For its own JSON encoding, see [Address].
type Viber struct {
	Receiver Field[string]  `json:"receiver,omitzero"`
	Extra    map[string]any `json:",embed"`
}

// Webhook makes Courier call a URL of yours. For its own JSON encoding, see [Address].
type Webhook struct {
	URL            Field[string]                `json:"url,omitzero"`
	Method         Field[string]                `json:"method,omitzero"` // POST or PUT
	Headers        Field[map[string]string]     `json:"headers,omitzero"`
	Authentication Field[WebhookAuthentication] `json:"authentication,omitzero"`
	Profile        Field[string]                `json:"profile,omitzero"` // limited or expanded
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

// Tokens is one device token or several. Courier accepts a string and an array of strings;
// Tokens keeps the form in which it was created or read. Anything else, such as the array
// of {"token": …} objects of older Expo profiles, is a [Field.Mismatch].
type Tokens struct {
	list   []string
	single bool // written as a string
}

// Token returns one device token, written as a string.
func Token(token string) Tokens { return Tokens{list: []string{token}, single: true} }

// TokenList returns any number of device tokens, written as an array of strings.
func TokenList(tokens ...string) Tokens { return Tokens{list: slices.Clone(tokens)} }

// All returns the device tokens, in whatever form they are written.
func (t Tokens) All() []string { return slices.Clone(t.list) }

// MarshalJSON writes the tokens in their form.
func (t Tokens) MarshalJSON() ([]byte, error) { return encode(&t) }

// UnmarshalJSON reads a string or an array of strings.
func (t *Tokens) UnmarshalJSON(text []byte) error { return decode(text, t) }

// MarshalJSONTo is [Tokens.MarshalJSON] for encoding/json/v2.
func (t Tokens) MarshalJSONTo(enc *jsontext.Encoder) error {
	if t.single {
		return encodeTo(enc, &t.list[0])
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
	return json.Unmarshal(raw, &t.list, reading)
}

// The types that hold device tokens or credentials print as "[redacted]", and so does a Field
// of them. What json.Marshal writes is complete.

// String returns "[redacted]".
func (Tokens) String() string { return redacted }

// String returns "[redacted]".
func (APN) String() string { return redacted }

// String returns "[redacted]".
func (Expo) String() string { return redacted }

// String returns "[redacted]".
func (PagerDuty) String() string { return redacted }

// String returns "[redacted]".
func (Slack) String() string { return redacted }

// String returns "[redacted]".
func (SlackIncomingWebhook) String() string { return redacted }

// String returns "[redacted]".
func (Webhook) String() string { return redacted }

// String returns "[redacted]".
func (WebhookAuthentication) String() string { return redacted }
