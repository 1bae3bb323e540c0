// Package couriertest is the Courier Profiles API in memory, for the tests of
// programs that use package courier, or that talk to the API in any other way.
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
// [http.Handler], for a server, a TLS configuration or a path prefix of the
// caller's own. [Handler.SetProfile] prepares what a test needs,
// [Handler.Profile] and [Handler.Subscriptions] tell what came of it, and
// [Handler.Requests] what was sent.
//
// # What it does
//
// All eight operations of the API reference, on user ids of any characters:
//
//	merge profile       POST /profiles/{user_id}          200  RFC 7396
//	get profile         GET /profiles/{user_id}           200  404 without a profile
//	replace profile     PUT /profiles/{user_id}           200
//	patch profile       PATCH /profiles/{user_id}         204  RFC 6902, all or nothing
//	delete profile      DELETE /profiles/{user_id}        204  also without a profile
//	list subscriptions  GET /profiles/{user_id}/lists     200  pages of Handler.PageSize
//	subscribe           POST /profiles/{user_id}/lists    200
//	unsubscribe all     DELETE /profiles/{user_id}/lists  200
//
// Where the reference gives two statuses, this is the first of them.
// Merge, replace and patch create a profile where there is none. A profile is
// kept as the JSON that it is, with every member and every digit of a number;
// the order of members is not kept. Subscribing again to a list moves its
// "updated", and its preferences where it brings some.
//
// A request that Courier would refuse gets {"message": …, "type": …}: 401
// without the key (this comes first), 404 and 405 for a path or method that is
// not there, 413 for more than 4 MiB (a bound of this package), and 400 for a
// body that is not as documented, an operation of a patch that cannot be
// applied, and a cursor that no page had. The user ids "." and ".." are a 404,
// because paths that hold them are normalised on the way to Courier. Every
// answer has an X-Request-Id.
//
// An Idempotency-Key on a POST saves the first answer and replays it, its status
// and body, to whatever request comes with the same key in the next 24 hours, or
// up to the x-idempotency-expiration. A success is saved, and a 500, by a
// [Fault] as well. Any other status is not, because it stands for a refusal
// before the endpoint or for a gateway in front of it. While a request with the
// key is being answered, another one gets a 409.
//
// # Failures
//
// [Handler.Fail] scripts what happens to the next requests, one [Fault] each: a
// status, with Courier's body for it or any other, a Retry-After, a delay, a
// connection reset, a body that is cut off. A client of [Server.Client] retries
// as any other does, after waits of half a second and more; give it
// courier.WithRetryWait(0, 0) in tests.
//
// # What it does not do
//
// There is one workspace and one key, so no 403, and there are no rate limits
// and no two writes that conflict; Fail gives each of these answers. The
// preferences of a user are always null, since none of the operations sets
// them. Lists exist only as subscriptions, and have their id as name. Content
// types are not checked.
package couriertest
