// Byhand is the smallest program that merges a profile with net/http and encoding/json.
// Bench measures its size.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
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
	text, err := json.Marshal(b)
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost,
		"https://api.courier.com/profiles/user-1", bytes.NewReader(text))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("COURIER_API_KEY"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var result struct{ Status string }
	err = json.NewDecoder(resp.Body).Decode(&result)
	fmt.Println(resp.Status, result.Status, err)
}
