
acme-uk$016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47 *00DB0000000TfcRMAS2ccontact003B0000005Bk90IAC (0:
contact003B0000005Bk90IAC:
account001B0000005Bk90IAC:+
ÈØ’Ø€ÊµîËØ’Ø€Â×/¨"ÉØ’Ø€„¯_@H ²p
00TB0000005Bk90MAC0vcc:acme-uk:016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47003B0000005Bk90IAC"001B0000005Bk90IAC(