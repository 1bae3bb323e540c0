package courier

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// ProfilesService has the operations on profiles. It is at [Client.Profiles].
//
// A user ID is any string except "", ".", and "..". It is percent-encoded in the path, so
// it cannot reach another resource. Courier advises against email addresses and phone
// numbers as IDs, because they change.
type ProfilesService struct {
	// Lists has the operations on a user's list subscriptions.
	Lists *ListsService

	client *Client
}

var (
	mergeProfile = operation{
		name:     "merge profile",
		method:   http.MethodPost,
		policy:   transport.Idempotent,
		takesKey: true,
	}
	getProfile = operation{
		name:           "get profile",
		method:         http.MethodGet,
		policy:         transport.Idempotent,
		expectsMissing: true,
	}
	replaceProfile = operation{
		name:   "replace profile",
		method: http.MethodPut,
		policy: transport.Idempotent,
	}
	patchProfile = operation{
		name:   "patch profile",
		method: http.MethodPatch,
		policy: transport.NotIdempotent,
	}
	deleteProfile = operation{
		name:           "delete profile",
		method:         http.MethodDelete,
		policy:         transport.Idempotent,
		expectsMissing: true,
	}
)

// Merge merges profile into the user's profile, and creates one if there is none (POST
// /profiles/{user_id}, "Create a profile" in Courier's API reference). It follows JSON
// Merge Patch (RFC 7396): unset fields stay, objects (Custom included) are merged key
// by key, and null fields are removed. An empty Profile changes no field.
//
// Merge is idempotent, and is retried. The package page lists its errors.
func (s *ProfilesService) Merge(
	ctx context.Context, userID string, profile Profile, opts ...RequestOption,
) (*Result, error) {
	return s.writeProfile(ctx, &mergeProfile, userID, &profile, opts)
}

// GetResult is the response to [ProfilesService.Get].
type GetResult struct {
	Profile     Profile
	Preferences *Preferences // nil if Courier sent none
	Response
}

// LogValue returns the profile as [Profile.LogValue] does, the preferences, and what
// identifies the response, but not its header.
func (g GetResult) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("profile", g.Profile),
		slog.Any("preferences", g.Preferences),
		slog.Int("status", g.StatusCode),
		slog.String("request_id", oneLine(g.RequestID, maxType)),
		slog.Int("attempts", g.Attempts),
	)
}

// Get reads the user's profile and preferences (GET /profiles/{user_id}). A user without a
// profile is a [*NotFoundError]. The other errors are those of [ProfilesService.Merge].
func (s *ProfilesService) Get(
	ctx context.Context, userID string, opts ...RequestOption,
) (*GetResult, error) {
	result := new(GetResult)
	if err := s.client.do(ctx, &call{op: &getProfile, userID: userID}, result, opts); err != nil {
		return nil, err
	}
	return result, nil
}

// Replace overwrites the user's whole profile, and creates one if there is none (PUT
// /profiles/{user_id}): whatever is not in profile is removed, so an empty Profile
// empties it. A Get followed by a Replace loses concurrent writes; use Merge to change a
// part.
//
// Replace is idempotent, and is retried. The errors are those of [ProfilesService.Merge].
func (s *ProfilesService) Replace(
	ctx context.Context, userID string, profile Profile, opts ...RequestOption,
) (*Result, error) {
	return s.writeProfile(ctx, &replaceProfile, userID, &profile, opts)
}

// Patch applies ops to the user's profile in order, all or none, and creates a profile if
// there is none (PATCH /profiles/{user_id}, JSON Patch, RFC 6902). Without ops, an
// existing profile stays as it is. If Courier cannot apply one, such as a [PatchTest] that
// fails, the error is an [*InvalidRequestError]. The other errors are those of
// [ProfilesService.Merge].
//
// A patch may have a different effect when applied twice, so it is retried only if
// Courier cannot have acted on it: after 429 and 503, and if no connection was obtained.
func (s *ProfilesService) Patch(
	ctx context.Context, userID string, ops []PatchOp, opts ...RequestOption,
) (*Result, error) {
	body, err := encode(&patchBody{ops})
	if err != nil {
		return nil, err
	}
	return s.client.write(ctx, &patchProfile, userID, body, opts)
}

// Delete deletes the user's profile (DELETE /profiles/{user_id}). List subscriptions and
// preferences are separate resources, and stay.
//
// Delete is idempotent, and is retried. If the response to an attempt was lost, a retry may
// get a 404: after a retry, a [*NotFoundError] whose Attempts is above 1 means that the
// profile is deleted. The errors are those of [ProfilesService.Merge].
func (s *ProfilesService) Delete(
	ctx context.Context, userID string, opts ...RequestOption,
) (*Result, error) {
	return s.client.write(ctx, &deleteProfile, userID, nil, opts)
}

func (s *ProfilesService) writeProfile(
	ctx context.Context, op *operation, userID string, profile *Profile, opts []RequestOption,
) (*Result, error) {
	body, err := encode(&profileBody{(*profileObject)(profile)})
	if err != nil {
		return nil, err
	}
	return s.client.write(ctx, op, userID, body, opts)
}

func (g *GetResult) read(_ *transport.Exchange, text []byte) error {
	var body struct {
		Profile     Field[profileObject] `json:"profile"`
		Preferences Field[*Preferences]  `json:"preferences"`
	}
	if err := decode(text, &body); err != nil {
		return err
	}
	if err := optional(&g.Preferences, body.Preferences, "preferences"); err != nil {
		return err
	}
	return required((*profileObject)(&g.Profile), body.Profile, "profile")
}
