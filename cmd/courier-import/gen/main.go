// Gen writes a file of users in the columns of Courier's template, for
// measurements. The file depends only on the number of rows.
//
//	go run -C cmd ./courier-import/gen -rows 1000000 > users.csv
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

const header = "id,name,first_name,last_name,email,phone_number,gender,birthdate," +
	"zoneinfo,locale,given_name,family_name,middle_name,nickname,preferred_username," +
	"profile,picture,website,email_verified,phone_number_verified,sub,courier.channel\n"

func main() {
	rows := flag.Int("rows", 1_000_000, "`number` of rows, each of a different user")
	flag.Parse()
	if err := write(os.Stdout, *rows); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(out io.Writer, rows int) error {
	w := bufio.NewWriterSize(out, 1<<20)
	_, _ = w.WriteString(header) // Flush has the error
	for i := range rows {
		first := pick(i, "Ada", "Ángel", "Mary", "Grace", "Bo")
		last := pick(i/7, "Lovelace", "Peña", "Somerville", "Hopper", "Li")
		fmt.Fprintf(w, "user-%07d,\"%s, %s\",%s,%s,user-%07d@example.com,+1555%07d,",
			i, last, first, first, last, i, i)
		fmt.Fprintf(w, "%s,19%02d-%02d-%02d,%s,%s,", pick(i, "female", "male", ""),
			i%100, i%12+1, i%28+1, pick(i, "Europe/London", "America/New_York", "Asia/Tokyo"),
			pick(i, "en-GB", "en-US", "ja-JP"))
		fmt.Fprintf(w, "%s,%s,,,user%d,https://example.com/users/%d,,,", first, last, i, i)
		fmt.Fprintf(w, "%s,false,,%s\n", pick(i, "true", "false"), pick(i, "email", "", "sms"))
	}
	return w.Flush()
}

func pick(i int, of ...string) string { return of[i%len(of)] }
