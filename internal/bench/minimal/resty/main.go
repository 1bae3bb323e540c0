// Resty is the smallest program that merges a profile with resty and a struct of
// its own. Bench measures its size.
package main

import (
	"fmt"
	"os"

	"github.com/go-resty/resty/v2"
)

type body struct {
	Profile struct {
		Email       string `json:"email,omitempty"`
		PhoneNumber string `json:"phone_number,omitempty"`
	} `json:"profile"`
}

func main() {
	var b body
	b.Profile.Email = "user@example.com"
	b.Profile.PhoneNumber = "555-555-5555"
	var answer struct{ Status string }
	resp, err := resty.New().R().
		SetAuthToken(os.Getenv("COURIER_API_KEY")).
		SetBody(b).
		SetResult(&answer).
		Post("https://api.courier.com/profiles/user-1")
	fmt.Println(resp.Status(), answer.Status, err)
}
