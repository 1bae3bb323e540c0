package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultPartitions = 256
	maxPartitions     = 4096
	// oldPartitions is the number for a stream without the setting: version 0.1 had no
	// other.
	oldPartitions = 64
	oldSubject    = subjectPrefix + "*"
)

// The settings in the metadata of the stream.
const (
	partitionsKey = "courier-partitions"
	// Workers also need the previous layout until its updates are merged.
	previousSubjectKey    = "courier-previous-subject"
	previousPartitionsKey = "courier-previous-partitions"
)

// layout says where the updates of a user are stored.
type layout struct {
	subject    string // of the stream, with * for the partition
	partitions int    // 0: there is no such layout
}

// newLayout has the number of partitions in its subject, so that the stream itself
// refuses updates from a publisher that uses another number.
func newLayout(partitions int) layout {
	return layout{subjectPrefix + strconv.Itoa(partitions) + ".*", partitions}
}

// readLayouts returns the current layout of a stream and the one before.
func readLayouts(config jetstream.StreamConfig) (current, previous layout, err error) {
	if config.Retention == jetstream.InterestPolicy || config.MaxAge > 0 || config.MaxMsgs > 0 || config.MaxBytes > 0 || config.MaxMsgsPerSubject > 0 {
		return current, previous, fmt.Errorf("stream %s may drop updates: it was not created by this program, or its retention or limits were changed", config.Name)
	}
	if len(config.Subjects) != 1 {
		return current, previous, fmt.Errorf("stream %s has the subjects %q, and not one: it was not created by this program, or was changed", config.Name, config.Subjects)
	}
	count, ok := config.Metadata[partitionsKey]
	if !ok {
		count = strconv.Itoa(oldPartitions)
	}
	current, err = parseLayout(config.Subjects[0], count)
	if err == nil && config.Metadata[previousSubjectKey] != "" {
		previous, err = parseLayout(config.Metadata[previousSubjectKey], config.Metadata[previousPartitionsKey])
	}
	if err != nil {
		return current, previous, fmt.Errorf("stream %s: %w", config.Name, err)
	}
	return current, previous, nil
}

func parseLayout(subject, count string) (layout, error) {
	partitions, err := strconv.Atoi(count)
	if err != nil || checkPartitions(partitions) != nil {
		return layout{}, fmt.Errorf("metadata: %q is not a number of partitions from 1 to %d", count, maxPartitions)
	}
	if !strings.HasPrefix(subject, subjectPrefix) || !strings.HasSuffix(subject, ".*") {
		return layout{}, fmt.Errorf("subject %q does not have the form %s*", subject, subjectPrefix)
	}
	return layout{subject, partitions}, nil
}

func checkPartitions(n int) error {
	if n < 1 || n > maxPartitions {
		return errors.New("the number of partitions must be from 1 to " + strconv.Itoa(maxPartitions))
	}
	return nil
}

// partition hashes the user ID with FNV-1a, because all publishers, in any
// language, have to agree on it.
func (l layout) partition(userID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID)) // never fails
	return int(h.Sum32() % uint32(l.partitions))
}

// of returns the subject of the updates of a user. User IDs are not in subjects,
// because they may hold any characters.
func (l layout) of(userID string) string { return l.at(l.partition(userID)) }

// all returns the numbers of the partitions.
func (l layout) all() []int {
	all := make([]int, l.partitions)
	for p := range all {
		all[p] = p
	}
	return all
}

// at returns the subject of a partition.
func (l layout) at(partition int) string { return l.with(strconv.Itoa(partition)) }

// fence returns a subject of the stream that is not a partition.
func (l layout) fence() string { return l.with("fence") }

func (l layout) with(token string) string { return strings.TrimSuffix(l.subject, "*") + token }

// partitionOf is the reverse of at. It returns false for any other subject.
func (l layout) partitionOf(subject string) (int, bool) {
	partition, err := strconv.Atoi(strings.TrimPrefix(subject, strings.TrimSuffix(l.subject, "*")))
	ok := err == nil && partition >= 0 && partition < l.partitions && subject == l.at(partition)
	return partition, ok
}

// partitionsOf returns the partitions among subjects.
func (l layout) partitionsOf(subjects map[string]uint64) map[int]bool {
	found := make(map[int]bool, len(subjects))
	for subject := range subjects {
		if p, ok := l.partitionOf(subject); ok {
			found[p] = true
		}
	}
	return found
}

// consumer returns the name of the consumer of a partition.
func (l layout) consumer(partition int) string {
	return "partition-" + strings.ReplaceAll(strings.TrimPrefix(l.at(partition), subjectPrefix), ".", "-")
}
