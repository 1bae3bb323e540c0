// Package couriertest is an in-memory fake of the Courier Profiles API, for tests of
// programs that use package courier or call the API in any other way.
//
//	server := couriertest.NewServer()
//	defer server.Close()
//	client, err := server.Client()
//	…
//	_, err = client.Profiles.Merge(ctx, "user-1", courier.Profile{Email: courier.Set("user@example.com")})
//	…
//	profile, ok := server.Profile("user-1")
//
// [NewServer] listens on a port of 127.0.0.1. [NewHandler] is the same API as an
// [http.Handler], for your own server, TLS configuration or path prefix.
// [Handler.SetProfile] and [Handler.SetPreferences] prepare a test. [Handler.Profile],
// [Handler.Subscriptions] and [Handler.Requests] show the result. [Handler.Fail]
// scripts failures, one [Fault] per request. The client from [Server.Client] retries
// without waiting.
//
// # What Courier documents
//
// The following is in Courier's API reference (Profiles, Idempotency, Errors and API
// Overview). All operations accept any user ID, percent-encoded in the path:
//
//	merge profile       POST /profiles/{user_id}          200  JSON Merge Patch (RFC 7396)
//	get profile         GET /profiles/{user_id}           200
//	replace profile     PUT /profiles/{user_id}           200
//	patch profile       PATCH /profiles/{user_id}         204  JSON Patch (RFC 6902)
//	delete profile      DELETE /profiles/{user_id}        204
//	list subscriptions  GET /profiles/{user_id}/lists     200
//	subscribe           POST /profiles/{user_id}/lists    200
//	unsubscribe all     DELETE /profiles/{user_id}/lists  200
//
// Tests can rely on the following as well:
//
//   - Merge, replace and patch create a profile if there is none. An empty merge or
//     patch changes nothing else.
//   - Deleting a profile leaves the user's preferences and list subscriptions.
//   - Subscribing creates lists that do not exist. The times "created" and "updated"
//     of a subscription are those of the list, in ISO 8601 with milliseconds.
//   - A cursor is opaque and has to be escaped in a query.
//   - An error is {"message": …, "type": …}, with the type that goes with its status:
//     400 for a malformed request, 401 for a missing or wrong key, 413 for a request
//     of more than 6 MB.
//   - An Idempotency-Key on a POST saves the first response, even a 500, and replays it
//     for at least 24 hours, or until x-idempotency-expiration, 24 hours to 1 year
//     ahead. On other methods it has no effect. Nothing is saved for a request that fails
//     validation or that conflicts with one in progress.
//
// # What this package chose
//
// Courier's documentation leaves the following open, or can be read in more than one
// way. Do not rely on it.
//
//   - Getting a user without a profile is a 404. Deleting one is a success.
//   - A profile is stored as the JSON that was sent: names in any case, every digit of
//     a number, and unpaired surrogates such as "\ud800". The order of members is not
//     kept. Of duplicate names in a request the last one wins.
//   - A body that is not valid UTF-8 is a 400, and so is a profile nested more than
//     about 10,000 levels deep.
//   - A patch applies all of its operations or none. If one fails, or the result is not
//     an object, the response is a 400.
//   - The limit of 6 MB is 6 MiB, 6,291,456 bytes.
//   - Where the reference gives two statuses, the table above has the first.
//   - The preferences of a user are null until SetPreferences. No operation sets them.
//   - The name of a list is its ID. "updated" moves whenever any user subscribes to the
//     list, and a list without subscribers keeps its times. A subscription keeps its
//     place and its preferences when the user subscribes again without preferences.
//   - A page has [Handler.PageSize] subscriptions. A cursor that no page of the user
//     returned is a 400.
//   - A missing or wrong key is reported before anything else. Unknown paths are a 404,
//     unknown methods a 405. The user IDs "." and ".." are a 404, because such paths are
//     normalized before they reach Courier.
//   - An Idempotency-Key without an expiration lives for 24 hours. It saves successes and
//     500s, also those of a [Fault], and replays status and body to any request with the
//     same key. While the first request is
//     in progress, others with its key get a 409.
//   - Every response has an X-Request-Id.
//
// # What is missing
//
// The fake has one workspace with one key and therefore no 403. It has no rate limits
// and no conflicts between writes. [Handler.Fail] can produce all of these responses.
// The media type of a request is not checked. The reference has no operations to list
// or search profiles, and neither has the fake.
package couriertest
