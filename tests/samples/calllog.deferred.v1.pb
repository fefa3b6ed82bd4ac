
acme-uk$016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47 *00DB0000000TfcRMAS2%contact003B0000005Bk90IAC (0:
ÈØ’Ø€ÊµîËØ’Ø€Â×/¨@ ª'
linkinvalid_grant*Press Relink.