// Nethttp is the smallest program that merges a profile with net/http, as on
// Courier's page "Create a profile". Bench measures its size.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	req, err := http.NewRequest("POST", "https://api.courier.com/profiles/user-1",
		strings.NewReader(`{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Add("Authorization", "Bearer "+os.Getenv("COURIER_API_KEY"))
	req.Header.Add("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.Status, string(body), err)
}
