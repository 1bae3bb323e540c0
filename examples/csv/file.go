package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	courier "github.com/courier-profiles/courier-go"
)

// columns are the columns of the input. Others are ignored.
var columns = []string{"id", "name", "email", "phone_number", "plan"}

// row has the cells of one row.
type row struct {
	id, name, email, phone, plan string
}

// profile returns what the row merges. An empty cell leaves the profile as it is.
func (r row) profile() courier.Profile {
	profile := courier.Profile{
		Name:        text(r.name),
		Email:       text(r.email),
		PhoneNumber: text(r.phone),
	}
	if r.plan != "" {
		profile.Custom = courier.Set(map[string]any{"plan": r.plan})
	}
	return profile
}

func text(cell string) courier.Field[string] {
	if cell == "" {
		return courier.Field[string]{}
	}
	return courier.Set(cell)
}

// readRows reads the whole file.
func readRows(name string) ([]row, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(records) == 0 || !slices.Contains(records[0], "id") {
		return nil, fmt.Errorf("%s: the first line has no column id", name)
	}
	header := records[0]
	rows := make([]row, 0, len(records)-1)
	for _, record := range records[1:] {
		cell := func(column string) string {
			if i := slices.Index(header, column); i >= 0 {
				return record[i]
			}
			return ""
		}
		rows = append(rows, row{
			id:    cell("id"),
			name:  cell("name"),
			email: cell("email"),
			phone: cell("phone_number"),
			plan:  cell("plan"),
		})
	}
	return rows, nil
}

// writeFailures writes the rows with two more columns: whether the same row may succeed
// later, and why it was not merged.
func writeFailures(name string, failures []failure) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	header := append(slices.Clone(columns), "retryable", "error")
	records := [][]string{header}
	for _, f := range failures {
		retryable := f.err == errNotReached || courier.Retryable(f.err)
		records = append(records, []string{
			f.row.id, f.row.name, f.row.email, f.row.phone, f.row.plan,
			strconv.FormatBool(retryable), f.err.Error(),
		})
	}
	return csv.NewWriter(file).WriteAll(records)
}
