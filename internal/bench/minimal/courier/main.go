// Courier is the smallest program that merges a profile with package courier. Bench
// measures its size.
package main

import (
	"context"
	"fmt"
	"log"

	courier "github.com/courier-profiles/courier-go"
)

func main() {
	client, err := courier.NewClientFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.StatusCode, result.Status)
}
