// Package courier is a client for the Courier Profiles API, where a company
// keeps how to reach each of its users: e-mail, phone, push tokens, chat, and
// data of its own.
//
//	client, err := courier.NewClient(apiKey)
//	…
//	_, err = client.Profiles.Merge(ctx, "user-1", courier.Profile{
//		Email:       courier.Set("user@example.com"),
//		PhoneNumber: courier.Null[string](),
//	})
//
// A [Client] is made once and shared: it never changes and is safe for
// concurrent use. [NewClient] touches neither network nor environment;
// [NewClientFromEnv] reads the environment.
//
// # Merge semantics
//
// A member of a profile has three states, which [Field] holds apart: not there
// (the zero Field: a merge leaves it as it is), null ([Null]: a merge removes
// it) and a value ([Set], of "" and false as well: a merge writes it). Objects
// are merged member by member, at any depth; arrays are replaced. These are the
// semantics of JSON Merge Patch, RFC 7396.
//
// Nothing of a profile is lost: members without a field of their own, and those
// whose JSON does not fit their field, are in Extra, with every digit of a
// number. See [Profile].
//
// # Many profiles
//
// [ProfilesService.MergeAll] merges many, some at a time, each user's updates in
// their order, and yields an outcome for each. It holds a bounded number of them,
// and has fewer in flight while Courier says that there are too many.
//
// # Errors
//
// Every error of a call is one of these, to be found with [errors.As]:
//
//   - [*ValidationError]: refused before anything was sent
//   - an answer: [*InvalidRequestError] (400), [*AuthenticationError] (401),
//     [*PermissionError] (403), [*NotFoundError] (404), [*ConflictError] (409),
//     [*PayloadTooLargeError] (413), [*RateLimitError] (429), [*ServerError]
//     (5xx), each of which holds an [*APIError]; other statuses, a redirect
//     among them, are an [*APIError] alone
//   - [*ConnectionError]: no whole answer came
//   - [*UnexpectedResponseError]: a success by status, but not the documented
//     answer
//
// The end of the context is found with [errors.Is] in the error of the call.
//
// No error, log record, or printed client, option, answer or attempt holds the
// API key, the user id, the URL, or anything of the profile that was sent. The
// one exception is what Courier itself writes into an error answer, its message
// and type.
// What callers fill in or ask for, such as a [Profile], prints what is in it.
//
// # Retries
//
// A call is sent again, up to [WithMaxRetries] times, when another attempt may
// succeed:
//
//   - a connection refused, reset or broken off in the answer, or an attempt
//     that took longer than [WithTimeout]; but not if the host does not exist,
//     its certificate is not trusted, or it does not speak TLS
//   - status 408, 409, 429, 500, 502, 503 and 504; but not 500 for a call with
//     an idempotency key, because Courier would replay it
//
// [ProfilesService.Patch] is sent again only on status 429 and 503, and when no
// connection could be made.
//
// Wait n is drawn evenly from min to the smaller of max and min × 2ⁿ of
// [WithRetryWait] (full jitter above a floor). A Retry-After with status 429 or
// 503 is honoured in its place, and is never less than min. When it is longer
// than [WithMaxRetryAfter], or any wait would outlive the deadline of the
// context, the call returns at once with the answer in hand.
//
// A client has a retry budget, so that an outage is not multiplied: 500 retries
// in reserve; a retry takes one, and a call that ends in an answer that is not
// to be retried gives one back.
//
// An attempt that was given up may still be on its way, and be carried out after
// a later call for the same user. Where the order of merges matters that much,
// give each its own [WithIdempotencyKey]: Courier then acts on the first attempt
// to arrive, and replays its answer to the others.
//
// These rules may change, and that is no breaking change.
//
// # Connections
//
// Connections are kept and reused, over HTTP/2 where the server speaks it. While
// the first call of a cold client gets its connection, other calls wait for it,
// within their own [WithTimeout], in place of dialling as well. When an HTTP/2
// connection ends, net/http dials for every call that waits. Over HTTP/1.1 the
// default pool opens no more connections than there are attempts in flight, unless
// one that it is dialling for does not come within 250 ms. Redirects are answers
// and are not followed. To use a proxy or other settings of the transport, see
// [WithHTTPClient].
//
// # Testing
//
// Package couriertest has the Profiles API in memory, for tests without a
// network. A mocked [net/http.RoundTripper] works as well, by [WithHTTPClient].
package courier
