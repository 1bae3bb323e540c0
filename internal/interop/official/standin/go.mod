module github.com/trycourier/courier-go/v4

go 1.26
