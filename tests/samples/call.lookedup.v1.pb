
acme-uk$016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47ccontact003B0000005Bk90IAC (0:
contact003B0000005Bk90IAC:
account001B0000005Bk90IAC"	Ada Byron*1https://acme.my.salesforce.com/003B0000005Bk90IAC0:¿Ö’Ø€Ò“­BëØ’Ø€Ò“­H