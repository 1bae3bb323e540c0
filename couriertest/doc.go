// Package couriertest is an in-memory fake of the Courier Profiles API, for tests of
// programs that use package courier or call the API in any other way.
//
//	func TestMerge(t *testing.T) {
//		server := couriertest.NewServer(t)
//		client := server.Client()
//		user := courier.Profile{Email: courier.Set("user@example.com")}
//		_, err := client.Profiles.Merge(t.Context(), "user-1", user)
//		…
//		profile, ok := server.Profile("user-1")
//		…
//	}
//
// [NewServer] listens on a port of 127.0.0.1 and closes with the test. The client from
// [Server.Client] does not wait between retries, unless a response has a Retry-After
// header. [NewHandler] is the same API as an [http.Handler], for your own server, TLS
// configuration or path prefix.
//
// Prepare a test with [Handler.SetProfile] and [Handler.SetPreferences]. Look at the
// result with [Handler.Profile], [Handler.ProfileJSON], [Handler.UserIDs],
// [Handler.Preferences] and [Handler.Subscriptions], and at what was sent with
// [Handler.Requests] or [Handler.OnRequest].
//
// [Handler.Fail] makes the next requests fail, one [Fault] for each. Where requests of
// several users overlap, [Handler.FailUser] makes those of one user fail. [Handler.Faults]
// returns the faults that no request has taken yet, and [Handler.ClearFaults] removes
// them. [Handler.Clear] removes all data.
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
//     for 25 hours, or until x-idempotency-expiration, at most 1 year ahead. A key belongs
//     to its endpoint: the same key with another user or operation is another key. On
//     other methods it has no effect. Nothing is saved for a request that fails
//     validation or that conflicts with one in progress.
//
// # What this package chose
//
// Courier's documentation leaves the following open, or can be read in more than one
// way. Do not rely on it.
//
//   - Getting a user without a profile is a 404. Deleting one is a success.
//   - A profile keeps the case of names, every digit of a number, and unpaired
//     surrogates such as "\ud800". It does not keep the order of members, or how a
//     string was escaped. Of duplicate names in a request the last one wins.
//   - A body that is not valid UTF-8 is a 400, and so is a profile nested more than
//     about 10,000 levels deep.
//   - A patch applies all of its operations or none. If one fails, or the result is not
//     an object, the response is a 400. Courier's OpenAPI document asks for a value in
//     remove, move and copy, RFC 6902 does not: it may be there, and is ignored.
//   - The limit of 6 MB is 6 MiB, 6,291,456 bytes.
//   - Where the reference gives two statuses, the table above has the first.
//   - The preferences of a user are null until SetPreferences. No operation sets them.
//   - The name of a list is its ID. "updated" moves whenever any user subscribes to the
//     list, and a list without subscribers keeps its times. A subscription keeps its
//     place and its preferences when the user subscribes again without preferences.
//   - A page has [Handler.PageSize] subscriptions. A cursor that no page of the user
//     returned is a 400.
//   - A missing or wrong key is reported before any other error. Unknown paths are a 404,
//     unknown methods a 405. The user IDs "." and ".." are a 404, because such paths are
//     normalized before they reach Courier.
//   - x-idempotency-expiration is an ISO 8601 time, or a number: below 100,000,000,000
//     it is epoch seconds, from there on epoch milliseconds. Courier's documents
//     disagree about its unit. A time that has passed is a 400.
//   - An Idempotency-Key saves successes and 500s, also those of a [Fault], and replays
//     status and body, whatever the body of the later request. While the first request
//     is in progress, others with its key get a 409.
//   - Every response has an X-Request-Id, which the header of a [Fault] can replace.
//
// # What is missing
//
// The fake has one workspace with one key and therefore no 403. It has no rate limits
// and no conflicts between writes. A [Fault] can produce each of these responses. The
// media type of a request is not checked. The reference has no operations to list
// or search profiles, and neither has the fake.
package couriertest
